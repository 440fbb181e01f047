"""Settings that contradict each other are refused with the remedy."""

import pytest
from pydantic import SecretStr, ValidationError

from store import Settings


def test_a_lease_must_outlast_a_late_renewal() -> None:
    with pytest.raises(ValidationError, match="SECATEUR_RENEW_S is 40 and SECATEUR_LEASE_S 60"):
        Settings(renew_s=40, lease_s=60)
    assert Settings(renew_s=30, lease_s=60).lease_s == 60


def test_a_secret_is_long_or_none_and_never_shown() -> None:
    with pytest.raises(ValueError, match="openssl rand -hex 32"):
        Settings(server_secret=SecretStr("short"))
    assert Settings(server_secret=SecretStr("")).server_secret is None
    settings = Settings(server_secret=SecretStr("long enough for a secret"))
    assert settings.plain_server_secret == "long enough for a secret"
    assert "long enough" not in f"{settings!r} {settings} {settings.model_dump()}"
