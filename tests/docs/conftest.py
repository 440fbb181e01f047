"""What the service says about itself."""

from typing import Any

import pytest

from api.app import create_app
from store.settings import Settings


@pytest.fixture(scope="session")
def description(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the service answers at /openapi.json."""
    database = tmp_path_factory.mktemp("openapi") / "unused.db"
    return create_app(Settings(database_url=f"sqlite:///{database}")).openapi()


@pytest.fixture(scope="session")
def paths(description: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Its paths."""
    found: dict[str, dict[str, Any]] = description["paths"]
    return found
