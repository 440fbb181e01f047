"""Keys: shown once, kept as hashes, and good until revoked or expired."""

import stat
from pathlib import Path

import pytest
from sqlalchemy import update

from store import Database, Key, Principal, Scope, authenticate, create_key, ensure_team
from store.clock import db_now
from store.first_key import first_key


@pytest.fixture
def made(database: Database, team: str) -> tuple[Key, str]:
    """A key and its plaintext."""
    with database.write() as session:
        return create_key(session, team, "ci", [Scope.SUBMIT, Scope.READ])


def test_a_key_speaks_for_its_team(database: Database, team: str, made: tuple[Key, str]) -> None:
    key, plaintext = made
    with database.read() as session:
        assert authenticate(session, plaintext) == Principal(key.id, team, frozenset({Scope.READ, Scope.SUBMIT}))
    assert plaintext.startswith("sec_")
    assert plaintext.split("_", 2)[2] not in key.secret_hash


@pytest.mark.parametrize("wrong", ["", "sec_", "sec_abc_def", "sec__", "key_x_y", "{}x", "sec_\0_x", "sec_é_x"])
def test_anything_else_is_nobody(database: Database, made: tuple[Key, str], wrong: str) -> None:
    with database.read() as session:
        assert authenticate(session, wrong.format(made[1])) is None


@pytest.mark.parametrize("column", ["revoked_at", "expires_at"])
def test_a_key_that_has_ended_is_nobody(database: Database, made: tuple[Key, str], column: str) -> None:
    with database.write() as session:
        session.execute(update(Key).values({column: db_now(-1)}))
    with database.read() as session:
        assert authenticate(session, made[1]) is None


def test_a_team_is_made_once(database: Database, team: str) -> None:
    with database.write() as session:
        assert ensure_team(session, "gardeners").id == team


def test_the_first_key_is_private_and_kept_while_it_works(sqlite_database: Database, tmp_path: Path) -> None:
    file = tmp_path / "admin.key"
    first = first_key(sqlite_database, "default", file)
    assert file.read_text() == first + "\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert first_key(sqlite_database, "default", file) == first
    with sqlite_database.write() as session:
        session.execute(update(Key).values(revoked_at=db_now()))
    second = first_key(sqlite_database, "default", file)
    with sqlite_database.read() as session:
        found = authenticate(session, second)
    assert found is not None
    assert found.scopes == frozenset(Scope)
