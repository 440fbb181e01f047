"""Submits that come together share a transaction, and nothing else: each is stored or refused for itself."""

import asyncio
import threading
import uuid
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import event, select
from sqlalchemy.exc import IntegrityError, OperationalError, StatementError

from api.problems import Unavailable
from api.submissions import Accepted, Submissions, Submit
from store import (
    Call,
    Database,
    IdempotencyConflict,
    Job,
    NewJob,
    QueueFull,
    Submission,
    ensure_team,
    get_job,
    list_audit,
    open_database,
    place_of,
    request_cancel,
)

Outcome = Accepted | BaseException


@pytest.fixture
def isolated(database: Database) -> Iterator[Database]:
    """The database as the service sees it: no statement may look at two teams'."""
    found = open_database(str(database.engine.url), isolated=True)
    yield found
    found.close()


@pytest.fixture
def submissions(isolated: Database) -> Iterator[Submissions]:
    """What is tested, with a limit of three waiting jobs for each team."""
    found = Submissions(isolated, 3, None)
    yield found
    found.close()


@pytest.fixture
def team(database: Database) -> Callable[[], str]:
    """Makes teams."""

    def make() -> str:
        with database.write() as session:
            return ensure_team(session, uuid.uuid4().hex).id

    return make


def submit(team_id: str, *, key: str | None = None, body: str = "", **fields: object) -> Submit:
    new = NewJob(**{"method": "movement", "target_sparsity": 0.5, "spec": {}, **fields})  # type: ignore[arg-type]
    call = Call(team_id=team_id, key_id=None, method="POST", route="/v1/jobs", target_id=None, status=202)
    return Submit(team_id, Submission(new, key, body), call)


def together(submissions: Submissions, *submits: Submit) -> list[Outcome]:
    """What becomes of submits of which the first holds up the others until all are there."""
    begun, gate = threading.Event(), threading.Event()
    store = submissions._batches._work
    sizes: list[int] = []

    def held(batches: list[list[Submit]]) -> object:
        begun.set()
        assert gate.wait(30)
        sizes.extend(map(len, batches))
        return store(batches)

    submissions._batches._work = held  # type: ignore[assignment]

    async def story() -> list[Outcome]:
        first = asyncio.create_task(_told(submissions.store(submit(submits[0].team_id, priority=-1))))
        await asyncio.to_thread(begun.wait, 30)
        others = [asyncio.create_task(_told(submissions.store(each))) for each in submits]
        await asyncio.sleep(0.05)
        assert len(submissions._waiting) == len(submits)
        gate.set()
        await first
        return list(await asyncio.gather(*others))

    outcomes = asyncio.run(story())
    assert sizes == [1, len(submits)]
    return outcomes


async def _told(stored: Awaitable[Accepted]) -> Outcome:
    try:
        return await stored
    except Exception as error:  # noqa: BLE001 - what is told is what is tested
        return error


def jobs_of(database: Database, team_id: str) -> list[str]:
    with database.read() as session:
        return list(session.scalars(select(Job.id).where(Job.team_id == team_id).order_by(Job.created_at, Job.id)))


def test_each_is_stored_with_its_entry_in_the_audit_log(
    submissions: Submissions, team: Callable[[], str], database: Database
) -> None:
    teams = [team(), team()]
    outcomes = together(submissions, *(submit(teams[number % 2], name=str(number)) for number in range(4)))
    assert all(isinstance(each, Accepted) for each in outcomes), outcomes
    for number, each in enumerate(outcomes):
        assert isinstance(each, Accepted)
        with database.read() as session:
            stored = get_job(session, teams[number % 2], each.job.id)
            [entry] = list_audit(session, teams[number % 2], target_id=each.job.id).data
        assert (stored.name, stored.event_seq, entry.status) == (str(number), 1, 202)
        assert stored.created_at == each.job.created_at


def test_each_is_told_where_it_stands(submissions: Submissions, team: Callable[[], str], database: Database) -> None:
    ours, theirs = team(), team()
    submits = [submit(ours), submit(theirs), submit(ours, priority=900), submit(theirs), submit(theirs, priority=900)]
    for each in together(submissions, *submits):
        assert isinstance(each, Accepted)
        with database.read() as session:
            assert each.place == place_of(session, each.job)
            assert each.place is not None


def test_one_too_many_is_refused_and_the_others_are_stored(
    submissions: Submissions, team: Callable[[], str], database: Database
) -> None:
    ours, theirs = team(), team()
    outcomes = together(
        submissions, submit(ours), submit(theirs), submit(ours), submit(ours, key="k", body="1"), submit(theirs)
    )
    assert [type(each) for each in outcomes] == [Accepted, Accepted, Accepted, QueueFull, Accepted]
    jobs = jobs_of(database, ours)
    assert len(jobs) == 3
    with database.write() as session:
        for job_id in jobs:
            request_cancel(session, ours, job_id)
    again = together(submissions, submit(ours, key="k", body="2"))
    assert [type(each) for each in again] == [Accepted], "a key whose job was refused is free"


def test_equal_requests_that_come_together_are_one_job(
    submissions: Submissions, team: Callable[[], str], database: Database
) -> None:
    ours = team()
    outcomes = together(
        submissions,
        submit(ours, key="k", body="1"),
        submit(ours, key="k", body="1"),
        submit(ours, key="k", body="2"),
    )
    first, second, other = outcomes
    assert isinstance(first, Accepted)
    assert isinstance(second, Accepted)
    assert first.job.id == second.job.id
    assert first.place == second.place
    assert isinstance(other, IdempotencyConflict)
    assert len(jobs_of(database, ours)) == 2, "this one, and the one that held it up"


@pytest.mark.parametrize(
    ("wrong", "told"),
    [({"model_id": "mdl_" + "0" * 32}, IntegrityError), ({"spec": {"of": object()}}, StatementError)],
    ids=["whose model is gone", "that no database takes"],
)
def test_one_that_cannot_be_stored_spoils_it_for_nobody_else(
    submissions: Submissions, team: Callable[[], str], database: Database, wrong: Any, told: type
) -> None:
    ours, theirs = team(), team()
    outcomes = together(submissions, submit(ours), submit(theirs, **wrong), submit(theirs), submit(ours))
    assert [type(each) for each in outcomes] == [Accepted, told, Accepted, Accepted]
    assert len(jobs_of(database, ours)) == 3
    assert len(jobs_of(database, theirs)) == 1
    with database.read() as session:
        assert len(list_audit(session, theirs).data) == 1


def test_who_waits_too_long_is_told_and_nothing_is_stored(
    submissions: Submissions, team: Callable[[], str], database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.submissions.PATIENCE_S", 0.2)
    ours = team()
    begun, gate = threading.Event(), threading.Event()

    def wait(*_: object) -> None:
        begun.set()
        gate.wait(30)

    event.listen(submissions._database.engine, "before_cursor_execute", wait)

    async def story() -> list[Outcome]:
        first = asyncio.create_task(_told(submissions.store(submit(ours))))
        await asyncio.to_thread(begun.wait, 30)
        second = await _told(submissions.store(submit(ours)))
        assert not first.done(), "what has begun is told as it ends, however long that takes"
        monkeypatch.undo()
        gate.set()
        return [await first, second, await _told(submissions.store(submit(ours)))]

    outcomes = asyncio.run(story())
    event.remove(submissions._database.engine, "before_cursor_execute", wait)
    assert [type(each) for each in outcomes] == [Accepted, Unavailable, Accepted]
    assert len(jobs_of(database, ours)) == 2


def test_while_the_database_is_away_all_are_told_and_later_ones_are_stored(
    submissions: Submissions, team: Callable[[], str], database: Database
) -> None:
    ours = team()

    def away(*_: object) -> None:
        raise OperationalError("BEGIN", {}, Exception("database is locked"))

    event.listen(submissions._database.engine, "begin", away)

    async def story() -> list[Outcome]:
        return list(await asyncio.gather(*(_told(submissions.store(submit(ours))) for _ in range(3))))

    assert [type(each) for each in asyncio.run(story())] == [OperationalError] * 3
    event.remove(submissions._database.engine, "begin", away)
    assert isinstance(asyncio.run(_told(submissions.store(submit(ours)))), Accepted)
    assert len(jobs_of(database, ours)) == 1


@pytest.mark.parametrize("error", [OperationalError("SELECT", {}, Exception("database is locked")), ValueError()])
def test_a_place_that_cannot_be_told_takes_no_answer_away(
    submissions: Submissions,
    team: Callable[[], str],
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("api.submissions.places_of", fail)
    ours = team()
    [accepted] = together(submissions, submit(ours))
    assert isinstance(accepted, Accepted)
    assert accepted.place is None
    assert accepted.job.id in jobs_of(database, ours)
    assert len(jobs_of(database, ours)) == 2, "this one, and the one that held it up: none twice"


def test_what_waits_when_the_service_ends_is_stored_and_told(
    submissions: Submissions, team: Callable[[], str], database: Database
) -> None:
    ours = team()
    begun, gate = threading.Event(), threading.Event()
    store = submissions._batches._work

    def held(batches: list[list[Submit]]) -> object:
        begun.set()
        assert gate.wait(30)
        return store(batches)

    submissions._batches._work = held  # type: ignore[assignment]

    async def story() -> list[Outcome]:
        first = asyncio.create_task(_told(submissions.store(submit(ours))))
        await asyncio.to_thread(begun.wait, 30)
        second = asyncio.create_task(_told(submissions.store(submit(ours))))
        await asyncio.sleep(0.05)
        threading.Timer(0.2, gate.set).start()
        submissions.close()
        async with asyncio.timeout(30):
            return [await first, await second]

    assert [type(each) for each in asyncio.run(story())] == [Accepted, Accepted]
    assert len(jobs_of(database, ours)) == 2


def test_a_thread_that_cannot_be_had_costs_one_answer_and_no_more(
    submissions: Submissions, team: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(_: object) -> None:
        raise RuntimeError("can't start new thread")

    ours = team()
    monkeypatch.setattr(threading.Thread, "start", none_left)
    assert isinstance(asyncio.run(_told(submissions.store(submit(ours)))), RuntimeError)
    monkeypatch.undo()
    assert isinstance(asyncio.run(_told(submissions.store(submit(ours)))), Accepted)
