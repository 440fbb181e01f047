"""What an isolated session refuses, whatever a function asks of it."""

from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import Delete, Select, Update, delete, exists, or_, select, text, update
from sqlalchemy.orm import aliased

from store import Artifact, Attempt, Database, Dataset, DatasetSplit, Event, Job, Key, Model, get_job, open_database
from store.isolation import ACROSS_TEAMS, OWNED, UnscopedQuery
from store.tables import Base, IdempotencyKey

Statement = Select[Job] | Update | Delete


@pytest.fixture
def isolated(sqlite_url: str) -> Iterator[Database]:
    """The database as the API opens it."""
    database = open_database(sqlite_url, isolated=True)
    yield database
    database.close()


HELD = [
    select(Job).where(Job.team_id == "team_1"),
    select(Job.id).where(Job.team_id == "team_1", or_(Job.name == "a", Job.name == "b")),
    update(Job).where(Job.team_id == "team_1", Job.id == "job_1").values(pinned=True),
    delete(Key).where((Key.team_id == "team_1") & (Key.id == "key_1")),
    select(Event).join(Job, Event.job_id == Job.id).where(Job.team_id == "team_1"),
    select(Job).where(Job.team_id == "team_1", exists().where(Event.job_id == Job.id)),
    select(IdempotencyKey.job_id).where(IdempotencyKey.team_id == "team_1"),
]

LOOSE = [
    select(Job),
    select(Job).where(Job.id == "job_1"),
    select(Job.status).where(Job.id == "job_1"),
    select(Job).where(or_(Job.team_id == "team_1", Job.pinned)),
    select(Job).where(Job.team_id != "team_1"),
    select(Job).where(Job.team_id == Job.team_id),
    select(Job).where(Job.team_id == None),  # noqa: E711  # what `None` for a team would make of it
    update(Job).where(Job.id == "job_1").values(pinned=True),
    delete(Dataset).where(Dataset.id == "ds_1"),
    select(Event).where(Event.job_id == "job_1"),
    select(Event).join(Job, Event.job_id == Job.id).where(Job.id == "job_1"),
    select(Event, Job).where(Job.team_id == "team_1"),
    select(Job).where(~exists().where(Model.team_id == "team_1")),
    select(aliased(Job)),
    select(Key).where(Key.id == "key_1"),
    text("SELECT * FROM job"),
]


@pytest.mark.parametrize("statement", HELD, ids=str)
def test_a_statement_that_is_held_to_a_team_passes(isolated: Database, statement: Statement) -> None:
    with isolated.write() as session:
        session.execute(statement)


@pytest.mark.parametrize("statement", LOOSE, ids=str)
def test_a_statement_that_is_held_to_nobody_is_refused(isolated: Database, statement: Statement) -> None:
    with pytest.raises(UnscopedQuery), isolated.write() as session:
        session.execute(statement)


def test_what_looks_across_teams_says_so(isolated: Database) -> None:
    with isolated.read() as session:
        assert session.scalars(select(Job), execution_options=ACROSS_TEAMS).all() == []
        assert session.scalars(select(Job).execution_options(**ACROSS_TEAMS)).all() == []


def test_one_session_is_one_teams(isolated: Database) -> None:
    with isolated.read() as session:
        session.scalars(select(Job).where(Job.team_id == "team_1"))
        with pytest.raises(UnscopedQuery):
            session.scalars(select(Model).where(Model.team_id == "team_2"))


def test_what_hangs_on_a_row_follows_the_row(database: Database, submit: Callable[..., str], team: str) -> None:
    mine, other = submit(), submit()
    with Database(database.engine, isolated=True).read() as session:
        get_job(session, team, mine)
        assert session.scalars(select(Event).where(Event.job_id == mine)).all() != []
        assert session.scalars(select(Attempt.number).where(Attempt.job_id == mine)).all() == []
        assert session.get(Artifact, (mine, "report.json")) is None
        with pytest.raises(UnscopedQuery):
            session.scalars(select(Event).where(Event.job_id == other))
        with pytest.raises(UnscopedQuery):
            session.get(Artifact, (other, "report.json"))
        with pytest.raises(UnscopedQuery):
            session.scalars(select(DatasetSplit).where(DatasetSplit.dataset_id == mine))


def test_without_isolation_nothing_is_asked(sqlite_database: Database) -> None:
    with sqlite_database.read() as session:
        assert session.scalars(select(Job)).all() == []


def test_every_table_is_known_to_be_a_teams_or_nobodys() -> None:
    nobodys = {"team", "blob", "blob_chunk", "worker"}
    assert {table.name for table in Base.metadata.sorted_tables} == set(OWNED) | nobodys
