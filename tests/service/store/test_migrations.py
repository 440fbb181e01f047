"""The migrations and the tables tell the same story."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import inspect, text
from sqlalchemy.exc import IntegrityError

from store import (
    Database,
    Scope,
    Team,
    authenticate,
    create_key,
    ensure_team,
    events_after,
    get_job,
    open_database,
    pin_job,
)
from store.engine import make_engine
from store.migrate import is_current, upgrade
from store.tables import Base
from tests.service.store.garden import make_team, submit_for


def test_the_migrated_schema_is_the_schema_of_the_tables(database: Database) -> None:
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def test_on_sqlite_both_say_it_in_the_same_words(sqlite_database: Database, tmp_path: Path) -> None:
    # compare_metadata overlooks CHECK constraints and the conditions of partial indexes
    def words(database: Database) -> set[str | frozenset[str]]:
        with database.engine.connect() as connection:
            rows = connection.execute(text("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")).scalars().all()
        statements = (" ".join(row.split()).removesuffix(")") for row in rows if "alembic_version" not in row)
        # the order of a table's columns and constraints means nothing, nor whether a constraint follows its column
        parts = r",? (?=CONSTRAINT )|, "
        return {
            frozenset(part.strip() for part in re.split(parts, each)) if each.startswith("CREATE TABLE") else each
            for each in statements
        }

    created = open_database(f"sqlite:///{tmp_path / 'created.db'}")
    Base.metadata.create_all(created.engine)
    assert words(sqlite_database) == words(created)
    created.close()


def test_a_database_knows_whether_it_is_current(database: Database, tmp_path: Path) -> None:
    assert is_current(database)
    empty = open_database(f"sqlite:///{tmp_path / 'empty.db'}")
    assert not is_current(empty)
    empty.close()


def test_migrating_again_changes_nothing(database: Database, database_url: str) -> None:
    upgrade(database_url)
    database.ping()


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def test_several_processes_may_migrate_at_once(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    url = f"sqlite:///{tmp_path / 'fresh.db'}"
    if kind == "postgres":
        server = request.getfixturevalue("postgres_server")
        url = server.url(server.create())
    code = "import sys; from store.migrate import upgrade; upgrade(sys.argv[1])"
    racers = [subprocess.Popen([sys.executable, "-c", code, url]) for _ in range(3)]
    assert [racer.wait() for racer in racers] == [0, 0, 0]


def test_the_first_revision_can_be_undone(database: Database) -> None:
    config = Config()
    config.set_main_option("script_location", "migrations")
    with database.engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
        assert inspect(connection).get_table_names() == ["alembic_version"]


def test_scheduling_comes_and_goes_without_touching_what_is_there(database: Database) -> None:
    team = make_team(database, "team", max_running=3)
    job_id = submit_for(database, team, gpus=2)
    config = Config()
    config.set_main_option("script_location", "migrations")
    with database.engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0001")
        assert "max_running" not in {column["name"] for column in inspect(connection).get_columns("team")}
        command.upgrade(config, "head")
    with database.read() as session:
        assert [event.type for event in events_after(session, team, job_id)] == ["submitted"]
        assert get_job(session, team, job_id).gpus == 1
        assert session.get_one(Team, team).weight == 1.0


def test_retention_comes_and_goes_without_touching_what_is_there(database: Database) -> None:
    team = make_team(database, "team")
    job_id = submit_for(database, team)
    with database.write() as session:
        pin_job(session, team, job_id, pinned=True)
    config = Config()
    config.set_main_option("script_location", "migrations")
    with database.engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0003")
        left = {column["name"] for column in inspect(connection).get_columns("job")}
        assert left.isdisjoint({"pinned", "quality", "files_expired_at"})
        command.upgrade(config, "head")
    with database.read() as session:
        assert [event.type for event in events_after(session, team, job_id)] == ["submitted"]
        job = get_job(session, team, job_id)
    assert (job.pinned, job.quality, job.files_expired_at) == (False, None, None)


def test_a_key_is_as_good_after_the_migration_as_before(database: Database) -> None:
    with database.write() as session:
        _, text_of_key = create_key(session, ensure_team(session, "team").id, "ci", [Scope.READ])
    config = Config()
    config.set_main_option("script_location", "migrations")
    with database.engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0005")
        assert "replaced_by" not in {column["name"] for column in inspect(connection).get_columns("api_key")}
        command.upgrade(config, "head")
    with database.read() as session:
        assert authenticate(session, text_of_key) is not None


def test_lists_and_sweeps_come_and_go_without_touching_what_is_there(database: Database) -> None:
    team = make_team(database, "team")
    job_id = submit_for(database, team)
    config = Config()
    config.set_main_option("script_location", "migrations")
    with database.engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0007")
        assert "sweep" not in inspect(connection).get_table_names()
        assert "sweep_id" not in {column["name"] for column in inspect(connection).get_columns("job")}
        command.upgrade(config, "head")
    with database.read() as session:
        assert [event.type for event in events_after(session, team, job_id)] == ["submitted"]
        assert get_job(session, team, job_id).sweep_id is None


@pytest.mark.parametrize(
    "nonsense", ["UPDATE team SET weight = 0", "UPDATE team SET max_running = -1", "UPDATE job SET gpus = 0"]
)
def test_the_database_refuses_limits_that_mean_nothing(database: Database, nonsense: str) -> None:
    submit_for(database, make_team(database, "team"))
    with pytest.raises(IntegrityError), database.engine.begin() as connection:
        connection.execute(text(nonsense))


@pytest.mark.postgres
def test_postgresql_does_not_compress_chunks_again(postgres_url: str) -> None:
    engine = make_engine(postgres_url)
    with engine.connect() as connection:
        storage = connection.scalar(
            text("SELECT attstorage FROM pg_attribute WHERE attrelid = 'blob_chunk'::regclass AND attname = 'data'")
        )
    engine.dispose()
    assert storage == "e"
