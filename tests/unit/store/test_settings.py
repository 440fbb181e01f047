"""Settings that contradict each other are refused with the remedy."""

import pytest
from pydantic import ValidationError

from store import Settings


def test_a_lease_must_outlast_a_late_renewal() -> None:
    with pytest.raises(ValidationError, match="SECATEUR_RENEW_S is 40 and SECATEUR_LEASE_S 60"):
        Settings(renew_s=40, lease_s=60)
    assert Settings(renew_s=30, lease_s=60).lease_s == 60
