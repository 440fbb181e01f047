"""Many looks at jobs are one question to the database, and none shows what was before it."""

import asyncio
import sqlite3
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from itertools import pairwise

import pytest
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from api.looks import Looks, Sight
from store import Database, NewJob, NotFound, create_job, ensure_team, pin_job, request_cancel


@pytest.fixture
def team(database: Database) -> str:
    """A team of this test's own."""
    with database.write() as session:
        return ensure_team(session, uuid.uuid4().hex).id


def submit(database: Database, team: str) -> str:
    with database.write() as session:
        return create_job(session, team, NewJob(method="movement", target_sparsity=0.5, spec={})).job.id


@pytest.fixture
def held(database: Database) -> Iterator[threading.Event]:
    """Lets no statement through until it is set."""
    gate = threading.Event()

    def wait(*_: object) -> None:
        gate.wait(10)

    event.listen(database.engine, "before_cursor_execute", wait)
    yield gate
    event.remove(database.engine, "before_cursor_execute", wait)


def test_who_asks_meanwhile_shares_the_next_look(
    database: Database, team: str, held: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    held.set()
    jobs = [submit(database, team) for _ in range(3)]
    held.clear()
    looks = Looks(database, None)
    looked: list[int] = []
    see = looks._see

    def counted(ids: tuple[str, ...]) -> Mapping[str, Sight]:
        looked.append(len(ids))
        return see(ids)

    monkeypatch.setattr(looks, "_see", counted)

    async def story() -> list[str]:
        first = asyncio.create_task(looks.at(team, jobs[0]))
        await asyncio.sleep(0.05)
        others = [asyncio.create_task(looks.at(team, jobs[number % 3])) for number in range(60)]
        await asyncio.sleep(0.05)
        held.set()
        return [seen.job.id for seen in await asyncio.gather(first, *others)]

    assert asyncio.run(story()) == [jobs[0], *(jobs[number % 3] for number in range(60))]
    assert looked == [1, 3]


def test_a_look_shows_what_was_committed_before_it(database: Database, team: str) -> None:
    job = submit(database, team)
    looks = Looks(database, None)

    async def story() -> None:
        before = await looks.at(team, job)
        assert before.place is not None
        with database.write() as session:
            pin_job(session, team, job, pinned=True)
        assert (await looks.at(team, job)).job.pinned
        with database.write() as session:
            request_cancel(session, team, job)
        after = await looks.at(team, job)
        assert (after.job.status, after.place) == ("cancelled", None)

    asyncio.run(story())


def test_another_teams_job_is_not_there_though_its_team_looks_too(database: Database, team: str) -> None:
    job = submit(database, team)
    with database.write() as session:
        other = ensure_team(session, "neighbours").id
    looks = Looks(database, None)

    async def story() -> tuple[object, object]:
        return await asyncio.gather(looks.at(team, job), looks.at(other, job), return_exceptions=True)

    seen, refused = asyncio.run(story())
    assert isinstance(refused, NotFound)
    assert not isinstance(seen, BaseException)


def test_a_database_that_is_away_is_told_to_all_who_asked_and_to_nobody_after(database: Database, team: str) -> None:
    job = submit(database, team)
    looks = Looks(database, None)

    def fail(*_: object) -> None:
        raise OperationalError("select", {}, sqlite3.OperationalError("away"))

    async def story() -> None:
        event.listen(database.engine, "before_cursor_execute", fail)
        try:
            found = await asyncio.gather(*(looks.at(team, job) for _ in range(3)), return_exceptions=True)
        finally:
            event.remove(database.engine, "before_cursor_execute", fail)
        assert [type(each) for each in found] == [OperationalError] * 3
        assert (await looks.at(team, job)).job.id == job

    asyncio.run(story())


def test_looks_are_some_milliseconds_apart_however_many_ask(
    database: Database, team: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = submit(database, team)
    looks = Looks(database, None)
    began: list[float] = []
    see = looks._see

    def timed(ids: tuple[str, ...]) -> Mapping[str, Sight]:
        began.append(time.monotonic())
        return see(ids)

    monkeypatch.setattr(looks, "_see", timed)

    async def ask() -> None:
        for _ in range(5):
            await looks.at(team, job)

    async def story() -> None:
        await asyncio.gather(*(ask() for _ in range(20)))

    asyncio.run(story())
    assert 5 <= len(began) <= 10, "all who ask at once share a look"
    assert min(later - earlier for earlier, later in pairwise(began)) >= 0.003
