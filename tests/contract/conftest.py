"""One running service for all that is asked of it from its description."""

from collections.abc import Iterator

import pytest

from tests.contract.stage import Stage, staged


@pytest.fixture(scope="session")
def stage() -> Iterator[Stage]:
    """The service."""
    with staged() as stage:
        yield stage
