"""What a team has used: counted from its jobs and attempts, day by day, and nobody else's."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from store import Database, DatabaseBlobStore, NewFile, NewSplit, insert_dataset, insert_model
from store.tables import Artifact, Attempt
from store.usage import jobs_by_status, present, stored_bytes, total_of, usage_by_day
from tests.service.store.garden import add_finished, make_team

FIRST = date(2026, 3, 1)


def at(day: int, hour: int = 0) -> datetime:
    """A moment of the month."""
    return datetime(2026, 3, day, hour, tzinfo=UTC)


def run(database: Database, job_id: str, begin: datetime, end: datetime | None, number: int = 1) -> None:
    """Note an attempt."""
    with database.write() as session:
        session.add(
            Attempt(
                job_id=job_id, number=number, worker="w", started_at=begin, heartbeat_at=begin, ended_at=end,
                lease_expires_at=begin, deadline_at=begin,
            )
        )  # fmt: skip


@pytest.fixture
def month(database: Database, team: str) -> str:
    """A team with a job over midnight, one that failed after two attempts, and a neighbour with one of its own."""
    ended: tuple[tuple[str, dict[str, Any]], ...] = (
        ("job_a", {"created_at": at(1, 20), "finished_at": at(2, 3), "gpus": 2, "step": 100}),
        ("job_b", {"created_at": at(2, 1), "finished_at": at(3, 1), "status": "failed", "step": 10}),
        ("job_c", {"created_at": at(9), "finished_at": at(9, 1), "step": 5}),
    )
    for id_, columns in ended:
        add_finished(database, team, 1, id=id_, **columns)
    run(database, "job_a", at(1, 22), at(2, 3))
    run(database, "job_b", at(2, 1), at(2, 2))
    run(database, "job_b", at(2, 23), at(3, 1), number=2)
    run(database, "job_c", at(9), at(9, 1))
    add_finished(database, make_team(database, "others"), 1, id="job_x", created_at=at(2), finished_at=at(2, 9), step=7)
    run(database, "job_x", at(2), at(2, 9))
    return team


def test_time_is_split_at_midnight_and_jobs_count_where_they_come_and_end(database: Database, month: str) -> None:
    with database.read() as session:
        days = usage_by_day(session, month, FIRST, date(2026, 3, 3))
    first, second, third = days.values()
    assert [first.jobs, second.jobs, third.jobs] == [
        {"submitted": 1}, {"submitted": 1, "succeeded": 1}, {"failed": 1}
    ]  # fmt: skip
    assert [day.trainer_s / 3600 for day in days.values()] == [2, 3 + 1 + 1, 1]
    assert [day.gpu_s / 3600 for day in days.values()] == [4, 6 + 1 + 1, 1]
    assert [day.steps for day in days.values()] == [0, 100, 10]
    total = total_of(list(days.values()))
    assert (total.trainer_s / 3600, total.steps, total.jobs["succeeded"]) == (8, 110, 1)


def test_what_a_retry_took_over_counts_once(database: Database, team: str) -> None:
    for number, (step, taken_over) in enumerate(((100, 0), (150, 100), (0, 100))):
        add_finished(
            database, team, 1, id=f"job_{number}", finished_at=at(2), step=step, steps_taken_over=taken_over,
        )  # fmt: skip
    with database.read() as session:
        [day] = usage_by_day(session, team, date(2026, 3, 2), date(2026, 3, 2)).values()
    assert day.steps == 100 + 50 + 0, "the last was cancelled before it began"


def test_what_lies_outside_is_cut_off(database: Database, month: str) -> None:
    with database.read() as session:
        days = usage_by_day(session, month, date(2026, 3, 2), date(2026, 3, 2))
    [day] = days.values()
    assert (day.trainer_s / 3600, day.steps) == (5, 100)


def test_an_attempt_that_runs_counts_until_now(database: Database, team: str) -> None:
    with database.read() as session:
        now = present(session)
    add_finished(
        database, team, 1, id="job_r", status="running", created_at=now, updated_at=now, finished_at=None, step=3
    )
    run(database, "job_r", now - timedelta(seconds=30), None)
    with database.read() as session:
        days = usage_by_day(session, team, (now - timedelta(1)).date(), (now + timedelta(1)).date())
        assert jobs_by_status(session, team) == {"running": 1}
    total = total_of(list(days.values()))
    assert 30 <= total.trainer_s < 90
    assert total.steps == 3


def test_shared_content_is_stored_once_and_referred_to_often(database: Database, month: str) -> None:
    blobs = DatabaseBlobStore(database)
    shared, own = blobs.write([b"12345"]), blobs.write([b"123"])
    with database.write() as session:
        for name in ("one", "two"):
            insert_dataset(
                session, month, name=name, format="csv", columns=[], preview=[], splits=[NewSplit("train", 1, shared)]
            )
        insert_model(
            session, month, name="m", model_type="bert", config={}, tensors={}, parameters=1,
            files=[NewFile("config.json", shared), NewFile("vocab.txt", own)],
        )  # fmt: skip
        for job_id in ("job_a", "job_x"):
            session.add(
                Artifact(
                    job_id=job_id,
                    name="f",
                    kind="k",
                    media_type="m",
                    size=3,
                    sha256=own.sha256,
                    blob_id=own.id,
                    attempt=1,
                )
            )
    with database.read() as session:
        stored = stored_bytes(session, month)
    assert stored.referenced == {"datasets": 10, "models": 8, "artifacts": 3, "checkpoints": 0}
    assert stored.unique == 8
