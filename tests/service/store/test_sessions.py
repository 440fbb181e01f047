"""Read sessions cannot write, write sessions commit once, and both keep out of each other's way."""

import pytest
from sqlalchemy import func, insert, make_url, select, text
from sqlalchemy.exc import DBAPIError, InternalError

from store import DATABASE_AWAY, Database, Team, ensure_team, open_database
from store.ids import new_id


def test_a_read_session_refuses_pending_rows(database: Database) -> None:
    with database.read() as session:
        session.add(Team(id=new_id("team"), name="a"))
        with pytest.raises(TypeError, match=r"Database\.write"):
            session.flush()


def test_a_read_session_refuses_writing_statements(database: Database) -> None:
    with database.read() as session, pytest.raises(TypeError, match=r"Database\.write"):
        session.execute(insert(Team).values(id=new_id("team"), name="a"))


def test_a_read_session_refuses_to_commit(database: Database) -> None:
    with database.read() as session, pytest.raises(TypeError, match=r"Database\.write"):
        session.commit()


@pytest.mark.postgres
def test_on_postgresql_the_server_refuses_too(postgres_url: str) -> None:
    database = open_database(postgres_url)
    with database.read() as session, pytest.raises(DBAPIError, match="read-only"):
        session.execute(text("DELETE FROM team"))
    database.close()


def test_a_write_session_commits_at_its_end(database: Database) -> None:
    with database.write() as session:
        team_id = ensure_team(session, "a").id
    with database.read() as session:
        assert session.get(Team, team_id) is not None


def test_a_write_session_that_fails_leaves_nothing(database: Database) -> None:
    def fail() -> None:
        with database.write() as session:
            ensure_team(session, "a")
            raise RuntimeError("midway")

    with pytest.raises(RuntimeError, match="midway"):
        fail()
    with database.read() as session:
        assert session.scalars(select(Team)).all() == []


def test_readers_go_on_while_one_writes(database: Database) -> None:
    with database.write() as writing:
        ensure_team(writing, "a")
        with database.read() as reading:
            assert reading.execute(text("SELECT count(*) FROM team")).scalar() == 0


@pytest.mark.postgres
def test_a_server_that_vanished_is_given_up_in_half_a_minute_unless_the_url_says_otherwise(postgres_url: str) -> None:
    url = make_url(postgres_url).update_query_dict({"keepalives_idle": "60"})
    database = open_database(url.render_as_string(hide_password=False))
    with database.read() as session:
        driver = session.connection().connection.driver_connection
        assert driver is not None
        told = driver.info.get_parameters()
    assert (told["tcp_user_timeout"], told["keepalives_interval"], told["keepalives_idle"]) == ("25000", "5", "60")
    database.close()


@pytest.mark.postgres
def test_a_server_that_only_reads_is_away_to_writers(postgres_url: str) -> None:
    url = make_url(postgres_url).update_query_dict({"options": "-c default_transaction_read_only=on"})
    database = open_database(url.render_as_string(hide_password=False))
    with pytest.raises(DATABASE_AWAY), database.write() as session:
        ensure_team(session, "a")
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(Team)) == 0
    with pytest.raises(InternalError), database.read() as session:  # our own mistake is told as one
        session.execute(text("DELETE FROM team"))
    database.close()


def test_sqlite_keeps_what_was_committed_and_checks_foreign_keys(sqlite_database: Database) -> None:
    with sqlite_database.read() as session:
        settings = [session.execute(text(f"PRAGMA {name}")).scalar() for name in ("journal_mode", "foreign_keys")]
        assert settings == ["wal", 1]
        assert session.execute(text("PRAGMA synchronous")).scalar() == 2
