"""The service in this process, over a real SQLite file; every test has a team of its own."""

import uuid
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from api.app import create_app
from store import (
    Database,
    Job,
    JobStatus,
    Scope,
    Settings,
    create_key,
    ensure_team,
    open_database,
    request_cancel,
)
from store.migrate import upgrade
from tests.unit.api.calling import Api
from tests.unit.api.uploads import bert_files, sentences


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A migrated database, a broker and a hub that are not there, and limits that are quickly reached."""
    file = tmp_path_factory.mktemp("api") / "secateur.db"
    upgrade(f"sqlite:///{file}")
    roots = tmp_path_factory.mktemp("roots")
    return Settings(
        database_url=f"sqlite:///{file}",
        broker_url="redis://127.0.0.1:1/0",
        team_max_upload_bytes=5_000_000,
        hub_endpoint="http://127.0.0.1:1",
        hub_allow="google-bert/*,nyu-mll/*",
        file_roots=str(roots),
        max_dataset_bytes=2_000_000,
        max_model_bytes=2_000_000,
    )


@pytest.fixture(scope="session")
def database(settings: Settings) -> Iterator[Database]:
    """What is behind the service."""
    database = open_database(settings.database_url)
    yield database
    database.close()


@pytest.fixture(scope="module", autouse=True)
def nobody_else_waits(database: Database) -> None:
    """Whoever claims takes anybody's job: those that another file's tests left in the line are taken out of it."""
    with database.write() as session:
        for team_id, job_id in session.execute(select(Job.team_id, Job.id).where(Job.status == JobStatus.QUEUED)).all():
            request_cancel(session, team_id, job_id)


@pytest.fixture(scope="session")
def client(settings: Settings) -> Iterator[TestClient]:
    """The service."""
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def api(client: TestClient, database: Database) -> Api:
    """The service, called with a key that may do everything for a new team."""
    return new_team(client, database)


def new_team(client: TestClient, database: Database) -> Api:
    """A team that has nothing yet, and its key."""
    with database.write() as session:
        team = ensure_team(session, uuid.uuid4().hex).id
        _, key = create_key(session, team, "all", list(Scope))
    return Api(client, database, team, key)


@pytest.fixture
def model(api: Api) -> str:
    """The URI of an uploaded two-layer BERT with 32 positions."""
    return str(api.upload_model(bert_files()).json()["uri"])


@pytest.fixture
def dataset(api: Api) -> str:
    """The URI of an uploaded dataset: 400 rows to train on, 40 to evaluate on, columns text and label."""
    answer = api.upload_dataset(train=("train.csv", sentences(400)), validation=("validation.csv", sentences(40)))
    return str(answer.json()["uri"])
