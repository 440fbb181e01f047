"""Keys: shown once, kept as hashes, and good until revoked or expired."""

import hashlib
import hmac
import json
import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest
from sqlalchemy import update

from store import (
    Database,
    Key,
    KeyOver,
    NotFound,
    Principal,
    Scope,
    authenticate,
    create_key,
    ensure_team,
    get_key,
    list_keys,
    live_keys,
    note_use,
    open_database,
    revoke_key,
    rotate_key,
)
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
    assert plaintext.split("_", 2)[2][:43] not in key.secret_hash


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


def test_hashes_are_keyed_with_the_servers_secret(database: Database, team: str) -> None:
    with database.write() as session:
        key, text = create_key(session, team, "ci", [Scope.READ], server_secret="the server's own")
    secret = text.split("_")[2][:43]
    assert key.secret_hash == hmac.new(b"the server's own", secret.encode(), "sha256").hexdigest()
    with database.read() as session:
        assert authenticate(session, text, "the server's own") is not None
        assert authenticate(session, text, "another") is None
        assert authenticate(session, text) is None


def test_keys_made_before_checksums_are_as_good_as_they_were(database: Database, team: str) -> None:
    secret = "-_" + "x" * 41  # as secrets.token_urlsafe(32) made them
    with database.write() as session:
        key, _ = create_key(session, team, "old", [Scope.READ])
        session.execute(update(Key).values(secret_hash=hashlib.sha256(secret.encode()).hexdigest()))
    with database.read() as session:
        assert authenticate(session, f"sec_{key.id.removeprefix('key_')}_{secret}") is not None


def test_a_key_may_be_made_to_end(database: Database, team: str) -> None:
    with database.write() as session:
        lasting, _ = create_key(session, team, "lasting", [Scope.READ], expires_in_s=3600)
        ending, text = create_key(session, team, "ending", [Scope.READ], expires_in_s=0.2)
    assert lasting.expires_at is not None
    assert (lasting.expires_at - lasting.created_at).total_seconds() == pytest.approx(3600, abs=1)
    time.sleep(0.3)
    with database.read() as session:
        assert authenticate(session, text) is None
        assert live_keys(session, [lasting.id, ending.id, "key_none"]) == {lasting.id}


def test_a_revoked_key_stays_to_be_looked_at(database: Database, team: str, made: tuple[Key, str]) -> None:
    key, text = made
    for _ in range(2):
        with database.write() as session:
            revoke_key(session, team, key.id)
    with database.read() as session:
        assert authenticate(session, text) is None
        assert get_key(session, team, key.id).revoked_at is not None
        assert [each.id for each in list_keys(session, team).data] == []
        assert [each.id for each in list_keys(session, team, revoked=True).data] == [key.id]


def test_a_rotated_key_is_good_as_long_as_the_overlap(database: Database, team: str, made: tuple[Key, str]) -> None:
    key, text = made
    with database.write() as session:
        new, new_text = rotate_key(session, team, key.id, overlap_s=60)
    assert (new.name, new.scopes, new.expires_at) == (key.name, key.scopes, None)
    with database.read() as session:
        assert authenticate(session, text) is not None
        assert authenticate(session, new_text) == Principal(new.id, team, frozenset({Scope.READ, Scope.SUBMIT}))
        old = get_key(session, team, key.id)
    assert old.replaced_by == new.id
    assert old.expires_at is not None
    assert (old.expires_at - new.created_at).total_seconds() == pytest.approx(60, abs=1)
    with pytest.raises(KeyOver, match=f"rotated before, to {new.id}"), database.write() as session:
        rotate_key(session, team, key.id)


def test_without_an_overlap_a_rotated_key_ends_at_once(database: Database, team: str, made: tuple[Key, str]) -> None:
    key, text = made
    with database.write() as session:
        rotate_key(session, team, key.id)
    with database.read() as session:
        assert authenticate(session, text) is None


def test_rotation_lengthens_no_life(database: Database, team: str) -> None:
    with database.write() as session:
        old, _ = create_key(session, team, "short", [Scope.READ], expires_in_s=100)
        new, _ = rotate_key(session, team, old.id, overlap_s=5000)
    assert old.expires_at is not None
    assert new.expires_at is not None
    assert (new.expires_at - new.created_at).total_seconds() == pytest.approx(100, abs=1)
    with database.read() as session:
        assert get_key(session, team, old.id).expires_at == old.expires_at


def test_what_has_ended_cannot_be_rotated(database: Database, team: str, made: tuple[Key, str]) -> None:
    key, _ = made
    with database.write() as session:
        revoke_key(session, team, key.id)
    with pytest.raises(KeyOver, match="Create a new key"), database.write() as session:
        rotate_key(session, team, key.id)


@pytest.mark.parametrize("verb", [get_key, revoke_key, rotate_key])
def test_another_teams_key_is_not_there(database: Database, made: tuple[Key, str], verb: Callable[..., object]) -> None:
    with database.write() as session:
        neighbours = ensure_team(session, "neighbours").id
    with pytest.raises(NotFound), database.write() as session:
        verb(session, neighbours, made[0].id)


def test_a_use_is_written_down_once_a_minute(database: Database, team: str, made: tuple[Key, str]) -> None:
    key, _ = made

    def used() -> datetime | None:
        with database.write() as session:
            note_use(session, key.id)
        with database.read() as session:
            return get_key(session, team, key.id).last_used_at

    first = used()
    assert first is not None
    assert used() == first
    with database.write() as session:
        session.execute(update(Key).values(last_used_at=db_now(-61)))
    later = used()
    assert later is not None
    assert later >= first


def test_a_key_made_on_the_host_is_told_as_json(sqlite_url: str) -> None:
    secret = "kept beside the database"
    environment = {**os.environ, "SECATEUR_DATABASE_URL": sqlite_url, "SECATEUR_SERVER_SECRET": secret}
    command = [sys.executable, "-m", "store.make_key", "--team", "new", "--scope", "admin", "--expires-in-s", "60"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60)
    made = json.loads(done.stdout)
    database = open_database(sqlite_url)
    with database.write() as session:
        team = ensure_team(session, "new").id
        assert authenticate(session, made["key"], secret) == Principal(made["id"], team, frozenset({Scope.ADMIN}))
    database.close()


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
