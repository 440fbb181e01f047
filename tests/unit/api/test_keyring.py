"""The keys that were shown lately: the database is asked once for many requests, and before they have to wait."""

import asyncio
import threading
import uuid
from collections.abc import Iterator

import pytest

from api.journal import Journal
from api.keyring import Keyring
from store import Database, Principal, Scope, create_key, ensure_team, revoke_key


@pytest.fixture
def key(database: Database) -> tuple[str, str, str]:
    """A team, its key's id, and the key."""
    with database.write() as session:
        team = ensure_team(session, uuid.uuid4().hex).id
        made, text = create_key(session, team, "ci", list(Scope))
        return team, made.id, text


@pytest.fixture
def keyring(database: Database) -> Iterator[Keyring]:
    """One that has met no key."""
    journal = Journal(database)
    yield Keyring(database, journal, "")
    journal.close()


@pytest.fixture
def asked(keyring: Keyring, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Notes each question to the database."""
    found: list[str] = []
    look_up = keyring._look_up

    def noted(text: str) -> Principal | None:
        found.append(text)
        return look_up(text)

    monkeypatch.setattr(keyring, "_look_up", noted)
    return found


def test_requests_that_come_at_once_ask_once(keyring: Keyring, key: tuple[str, str, str], asked: list[str]) -> None:
    async def story() -> list[Principal | None]:
        return await asyncio.gather(*(keyring.principal(key[2]) for _ in range(20)))

    assert [found and found.key_id for found in asyncio.run(story())] == [key[1]] * 20
    assert len(asked) == 1


def test_a_key_is_asked_about_again_before_anybody_has_to_wait(
    keyring: Keyring, key: tuple[str, str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()
    look_up = keyring._look_up

    def held(text: str) -> Principal | None:
        assert gate.wait(10)
        return look_up(text)

    async def story() -> tuple[bool, bool]:
        await keyring.principal(key[2])
        [known] = keyring._known.values()
        # Its age is beyond half of what a key is taken for good, and below the whole.
        monkeypatch.setattr("api.keyring.KNOWN_S", 30.0)
        keyring._known[next(iter(keyring._known))] = type(known)(known.principal, known.at - 20)
        monkeypatch.setattr(keyring, "_look_up", held)
        answered = await asyncio.wait_for(keyring.principal(key[2]), 5) is not None
        gate.set()
        await asyncio.gather(*keyring._asking.values())
        [renewed] = keyring._known.values()
        return answered, renewed.at > known.at

    assert asyncio.run(story()) == (True, True)


def test_whoever_comes_after_a_revocation_shares_no_answer_from_before(
    keyring: Keyring, key: tuple[str, str, str], database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    team, key_id, text = key
    looked, gate = threading.Event(), threading.Event()
    look_up = keyring._look_up

    def slow(text: str) -> Principal | None:
        found = look_up(text)
        looked.set()
        assert gate.wait(10)
        return found

    async def story() -> tuple[Principal | None, Principal | None, Principal | None]:
        monkeypatch.setattr(keyring, "_look_up", slow)
        before = asyncio.create_task(keyring.principal(text))
        await asyncio.to_thread(looked.wait, 10)
        with database.write() as session:
            revoke_key(session, team, key_id)
        keyring.forget(key_id)
        monkeypatch.setattr(keyring, "_look_up", look_up)
        after = await keyring.principal(text)
        gate.set()
        return await before, after, await keyring.principal(text)

    before, after, later = asyncio.run(story())
    assert before is not None, "it came while the key was good"
    assert (after, later) == (None, None)


def test_while_the_database_is_away_a_key_is_good_for_as_long_as_it_is_known(
    keyring: Keyring, key: tuple[str, str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_: str) -> Principal | None:
        raise ConnectionError

    async def story() -> bool:
        await keyring.principal(key[2])
        monkeypatch.setattr(keyring, "_look_up", away)
        monkeypatch.setattr("api.keyring.KNOWN_S", 30.0)
        for digest, known in keyring._known.items():
            keyring._known[digest] = type(known)(known.principal, known.at - 20)
        await keyring.principal(key[2])
        await asyncio.sleep(0)
        while keyring._asking:  # noqa: ASYNC110 - what ends it is what is tested
            await asyncio.sleep(0.01)
        still = await keyring.principal(key[2]) is not None
        monkeypatch.setattr("api.keyring.KNOWN_S", 0.0)
        with pytest.raises(ConnectionError):
            await keyring.principal(key[2])
        return still

    assert asyncio.run(story())
