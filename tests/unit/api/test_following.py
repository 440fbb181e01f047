"""Jobs followed as they change: long polls, streams, and how often the database is asked for all of them."""

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import event, select
from sqlalchemy.exc import OperationalError

from api import watch as watching
from api.watch import Change, Watch
from store import Database, Job, claim_next, get_job, record_progress, request_cancel
from tests.unit.api.calling import Api, pointers

Message = dict[str, str]


def messages(text: str) -> list[Message]:
    """What a stream says, as the fields of its messages; comments and `retry` left out."""
    found = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith((":", "retry")))
        if fields:
            found.append(fields)
    return found


@pytest.fixture
def path(api: Api, model: str, dataset: str) -> str:
    """A job that waits."""
    spec = {"model": model, "dataset": dataset, "method": "movement", "target_sparsity": 0.9}
    return str(api.submit(spec).headers["location"])


def stream(api: Api, path: str, **headers: str) -> tuple[int, list[Message]]:
    answer = api.get(f"{path}/events", headers={"Accept": "text/event-stream", **headers})
    if answer.status_code != 200:
        return answer.status_code, []
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-store"
    return answer.status_code, messages(answer.text)


def test_the_stream_of_a_job_that_has_ended_tells_its_story_and_ends(api: Api, path: str) -> None:
    api.call("POST", f"{path}/cancel")
    status, told = stream(api, path)
    assert status == 200
    assert [message.get("id") for message in told] == ["1", "2", None, "end"]
    assert [message.get("event") for message in told] == [None, None, "progress", "end"]
    assert [json.loads(message["data"]) for message in told[:2]] == api.get(f"{path}/events").json()
    moved = json.loads(told[2]["data"])
    assert (moved["status"], moved["attempt"]) == ("cancelled", 0)
    assert moved["progress"] == api.get(path).json()["progress"]
    assert json.loads(told[3]["data"]) == {"status": "cancelled"}


def test_a_client_that_comes_back_hears_only_what_it_missed(api: Api, path: str) -> None:
    api.call("POST", f"{path}/cancel")
    ids = [message.get("id") for message in stream(api, path, **{"Last-Event-ID": "1"})[1]]
    assert ids == ["2", None, "end"]
    assert [m.get("id") for m in stream(api, path, **{"Last-Event-ID": "2"})[1]] == [None, "end"]
    assert stream(api, path, **{"Last-Event-ID": "end"}) == (204, []), "there is nothing to come back for"
    answer = api.get(f"{path}/events?after=1", headers={"Accept": "text/event-stream"})
    assert [message.get("id") for message in messages(answer.text)] == ["2", None, "end"]


def test_a_last_event_that_is_none_of_ours_is_refused(api: Api, path: str) -> None:
    for given in ("two", "-1", "1 2", "9" * 20):
        answer = api.get(f"{path}/events", headers={"Accept": "text/event-stream", "Last-Event-ID": given})
        assert (answer.status_code, pointers(answer)) == (422, {"/header/Last-Event-ID"})


def test_the_stream_of_another_teams_job_is_not_found(api: Api, path: str) -> None:
    api.call("POST", f"{path}/cancel")
    assert stream(api.as_other_team(), path)[0] == 404
    assert stream(api, "/v1/jobs/job_" + "0" * 32)[0] == 404


def test_a_stream_goes_on_until_the_job_has_ended(api: Api, path: str) -> None:
    """Starlette's test client hands over a stream when it is over; how soon is measured against a real server."""
    threading.Timer(0.6, lambda: api.call("POST", f"{path}/cancel")).start()
    began = time.monotonic()
    _, told = stream(api, path)
    assert time.monotonic() - began > 0.5
    assert [message.get("id") for message in told] == ["1", None, "2", None, "end"]


def test_a_silent_stream_is_kept_alive(api: Api, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.jobs.stream.KEEP_ALIVE_S", 0.05)
    threading.Timer(0.6, lambda: api.call("POST", f"{path}/cancel")).start()
    answer = api.get(f"{path}/events", headers={"Accept": "text/event-stream"})
    assert answer.text.count("\n: ") >= 3
    assert len(messages(answer.text)) == 5


def test_a_long_poll_is_answered_as_soon_as_something_changes(api: Api, path: str) -> None:
    etag = api.get(path).headers["etag"]
    for headers in ({"If-None-Match": etag}, {}):
        name = "pause" if headers else "cancel"
        threading.Timer(0.4, lambda asked=name: api.call("POST", f"{path}/{asked}")).start()
        began = time.monotonic()
        answer = api.get(f"{path}?wait=30", headers=headers)
        assert 0.3 < time.monotonic() - began < 10
        assert answer.status_code == 200
        assert answer.json()["status"] == ("paused" if headers else "cancelled")


def test_a_long_poll_without_news_ends_when_it_was_to(api: Api, path: str) -> None:
    etag = api.get(path).headers["etag"]
    began = time.monotonic()
    assert api.get(f"{path}?wait=0.5", headers={"If-None-Match": etag}).status_code == 304
    assert api.get(f"{path}?wait=0.5").status_code == 200
    assert 1.0 <= time.monotonic() - began < 10


def test_a_long_poll_does_not_wait_where_the_client_is_behind_or_nothing_will_come(api: Api, path: str) -> None:
    began = time.monotonic()
    assert api.get(f"{path}?wait=30", headers={"If-None-Match": '"older"'}).status_code == 200
    api.call("POST", f"{path}/cancel")
    etag = api.get(path).headers["etag"]
    assert api.get(f"{path}?wait=30").status_code == 200
    assert api.get(f"{path}?wait=30", headers={"If-None-Match": etag}).status_code == 304
    assert time.monotonic() - began < 10


def test_a_wait_that_is_none_is_refused(api: Api, path: str) -> None:
    for given in ("51", "-1", "soon", "nan"):
        answer = api.get(f"{path}?wait={given}")
        assert (answer.status_code, pointers(answer)) == (422, {"/query/wait"}), given


@pytest.fixture
def statements(database: Database) -> Iterator[list[str]]:
    """What the database is asked."""
    asked: list[str] = []

    def note(connection: object, cursor: object, statement: str, *more: object) -> None:
        asked.append(statement)

    event.listen(database.engine, "before_cursor_execute", note)
    yield asked
    event.remove(database.engine, "before_cursor_execute", note)


def known(api: Api, path: str) -> Job:
    with api.database.read() as session:
        return get_job(session, job_id=path.rpartition("/")[2], team_id=api.team)


def test_hundreds_follow_a_job_for_the_price_of_one(api: Api, path: str, statements: list[str]) -> None:
    job = known(api, path)
    statements.clear()

    async def story() -> list[Change | None]:
        watch = Watch(api.database)
        listeners = [asyncio.create_task(watch.next(job.id, job.version, 0, 30, key_id=api.key_id)) for _ in range(500)]
        await asyncio.sleep(1.0)
        assert not any(listener.done() for listener in listeners)
        with api.database.write() as session:
            request_cancel(session, api.team, job.id)
        return await asyncio.gather(*listeners)

    began = time.monotonic()
    told = asyncio.run(story())
    took = time.monotonic() - began
    assert all(change and change.job and change.job.status == "cancelled" for change in told)
    assert all(change and [each.seq for each in change.events] == [1, 2] for change in told)
    reads = [statement for statement in statements if statement.startswith("SELECT")]
    assert len(reads) < 10 + 2 * took / watching.EVERY_S, "not one for each of them"


def test_each_listener_is_told_what_it_has_not_seen(api: Api, path: str) -> None:
    with api.database.write() as session:
        request_cancel(session, api.team, known(api, path).id)
    job = known(api, path)

    async def story() -> tuple[Change | None, ...]:
        following = partial(Watch(api.database).next, key_id=api.key_id)
        return await asyncio.gather(
            following(job.id, 0, 0, 10), following(job.id, 1, 1, 10), following(job.id, 0, 2, 10),
            following(job.id, job.version, 2, 0.6), following("job_" + "0" * 32, 3, 0, 10),
        )  # fmt: skip

    first, second, third, same, gone = asyncio.run(story())
    assert [[each.seq for each in change.events] for change in (first, second, third) if change] == [[1, 2], [2], []]
    assert same is None
    assert gone == Change(None, [])


def test_listeners_outlast_an_outage_of_the_database(api: Api, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    job = known(api, path)
    monkeypatch.setattr(watching, "AWAY_S", 0.05)
    original, failures = Watch._changes, iter(range(3))

    def changes(self: Watch, waiting: Any) -> Any:
        if next(failures, None) is not None:
            raise OperationalError("SELECT", {}, Exception("gone away"))
        return original(self, waiting)

    monkeypatch.setattr(Watch, "_changes", changes)
    assert asyncio.run(Watch(api.database).next(job.id, 0, 0, 10, key_id=api.key_id)) is not None


def test_nobody_following_asks_nothing(api: Api, path: str, statements: list[str]) -> None:
    job = known(api, path)

    async def story() -> None:
        watch = Watch(api.database)
        assert await watch.next(job.id, job.version, 1, 0.3, key_id=api.key_id) is None
        await asyncio.sleep(2 * watching.EVERY_S)
        statements.clear()
        await asyncio.sleep(1.0)

    asyncio.run(story())
    assert statements == []


def test_progress_reaches_a_listener_though_it_is_no_event(api: Api, client: TestClient, path: str) -> None:
    job = known(api, path)
    with api.database.write() as session:
        claim = claim_next(session, "default", "worker-1", lease_s=60.0)
        while claim is not None and claim.fence.job_id != job.id:  # other tests' jobs wait in the same queue
            claim = claim_next(session, "default", "worker-1", lease_s=60.0)
    assert claim is not None
    job = known(api, path)
    with api.database.write() as session:
        record_progress(session, claim.fence, step=7, density=0.5, phase="pruning", metrics=[])
    change = asyncio.run(Watch(api.database).next(job.id, job.version, job.event_seq, 10, key_id=api.key_id))
    assert change is not None
    assert change.job is not None
    assert (change.job.step, list(change.events)) == (7, [])


def test_all_portions_of_many_jobs_are_looked_at(
    api: Api, model: str, dataset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from store import changes_of, following, versions_of

    monkeypatch.setattr(following, "_AT_A_TIME", 2)
    spec = {"model": model, "dataset": dataset, "method": "movement", "target_sparsity": 0.9}
    paths = [api.submit(spec).headers["location"] for _ in range(5)]
    with api.database.read() as session:
        some = list(session.scalars(select(Job.id).where(Job.team_id == api.team)))
        assert len(some) == 5
        assert set(versions_of(session, some)) == set(some)
        found = changes_of(session, dict.fromkeys(some, 0))
    assert set(found) == set(some)
    assert all(events[0].seq == 1 for _, events in found.values())
    for path in paths:
        api.call("POST", f"{path}/cancel")
