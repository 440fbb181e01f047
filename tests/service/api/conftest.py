"""The service as users run it: a uvicorn process of its own, a real Valkey, SQLite or PostgreSQL behind it."""

import shutil
import socket
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from store import Scope, create_key, ensure_team, open_database
from tests.serving import serving
from tests.tiny import save_tiny_model
from tests.valkey import new_server

Start = Callable[..., str]
"""Starts a service with SECATEUR_… settings and says at which URL."""


@dataclass(frozen=True)
class Served:
    """A running service and the database behind it."""

    url: str
    database_url: str


@pytest.fixture(scope="session")
def broker() -> Iterator[str]:
    """The URL of a real Valkey."""
    with new_server() as server:
        yield f"redis://{server.host}:{server.port}/0"


@pytest.fixture
def black_hole() -> Iterator[str]:
    """The URL of a broker that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"redis://127.0.0.1:{server.getsockname()[1]}/0"


@pytest.fixture(scope="session")
def model_files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A tiny BERT with its tokenizer, as transformers writes them."""
    folder = save_tiny_model(tmp_path_factory.mktemp("model") / "tiny")
    return sorted(folder.iterdir())


@pytest.fixture(scope="session")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Starts services, and stops them when all tests are over: a start takes seconds on a busy machine."""
    folder = tmp_path_factory.mktemp("services")
    with ExitStack() as running:

        def start(**settings: object) -> str:
            return running.enter_context(serving(folder, settings))

        yield start


@pytest.fixture(scope="session", params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def served(
    request: pytest.FixtureRequest, start: Start, broker: str, tmp_path_factory: pytest.TempPathFactory
) -> Served:
    """A service over each kind of database, with limits that are quickly reached."""
    if request.param == "sqlite":
        empty = request.getfixturevalue("migrated_sqlite_file")
        database_url = f"sqlite:///{shutil.copy(empty, tmp_path_factory.mktemp('served') / 'secateur.db')}"
    else:
        server = request.getfixturevalue("postgres_server")
        database_url = server.url(server.create(template=request.getfixturevalue("migrated_postgres_template")))
    limits = {"max_dataset_bytes": 1_000_000, "max_model_bytes": 1_000_000}
    return Served(start(database_url=database_url, broker_url=broker, **limits), database_url)


@pytest.fixture
def service(served: Served) -> Iterator[httpx.Client]:
    """A client with the key of a team of this test's own, so that tests do not see each other's uploads and jobs."""
    with client_of(served) as client:
        yield client


@contextmanager
def client_of(served: Served) -> Iterator[httpx.Client]:
    """A client with a fresh team's key."""
    database = open_database(served.database_url)
    with database.write() as session:
        _, key = create_key(session, ensure_team(session, uuid.uuid4().hex).id, "test", list(Scope))
    database.close()
    with httpx.Client(base_url=served.url, headers={"Authorization": f"Bearer {key}"}, timeout=30) as client:
        yield client
