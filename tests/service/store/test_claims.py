"""Claims: the best job first, each job to one worker, whoever else tries at the same moment."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import func, insert, select, update
from sqlalchemy.exc import IntegrityError

from store import Claim, Database, Fence, Job, JobStatus, claim_next, events_after, queues_with_work
from store.clock import db_now
from store.tables import Attempt

CLAIMER = Path(__file__).with_name("claiming_process.py")
JOBS = 24


def test_a_claim_starts_an_attempt(
    database: Database,
    team: str,
    submit: Callable[..., str],
    claim: Callable[[], Claim | None],
    look: Callable[[str], Job],
) -> None:
    job_id = submit()
    assert claim() == Claim(Fence(job_id, 1), team, {"method": "movement"}, None, None)
    job = look(job_id)
    assert (job.status, job.attempt) == (JobStatus.RUNNING, 1)
    assert job.started_at is not None
    with database.read() as session:
        events = events_after(session, team, job_id, after=1)
        attempt = session.get_one(Attempt, (job_id, 1))
    assert [(event.type, event.attempt, event.data["worker"]) for event in events] == [("started", 1, "worker-1")]
    assert (attempt.lease_expires_at - attempt.heartbeat_at).total_seconds() == pytest.approx(60, abs=0.1)


def test_nothing_waits_nothing_is_claimed(claim: Callable[[], Claim | None]) -> None:
    assert claim() is None


def test_the_highest_priority_goes_first_and_then_the_oldest(
    submit: Callable[..., str], claim: Callable[[], Claim | None]
) -> None:
    old, late, urgent = submit(), submit(), submit(priority=5)
    claimed = [claim() for _ in range(3)]
    assert [each and each.fence.job_id for each in claimed] == [urgent, old, late]


def test_a_job_that_backs_off_is_not_eligible_yet(
    database: Database, submit: Callable[..., str], claim: Callable[[], Claim | None]
) -> None:
    job_id = submit()
    with database.write() as session:
        session.execute(update(Job).where(Job.id == job_id).values(not_before=db_now(60)))
    assert claim() is None
    with database.write() as session:
        assert queues_with_work(session) == []
        session.execute(update(Job).where(Job.id == job_id).values(not_before=db_now(-1)))
    assert claim() is not None


def test_queues_are_apart(database: Database, submit: Callable[..., str], claim: Callable[[], Claim | None]) -> None:
    submit(queue="gpu")
    submit(queue="big")
    submit(queue="big")
    assert claim() is None
    with database.read() as session:
        assert queues_with_work(session) == ["big", "gpu"]


def test_the_database_itself_refuses_a_second_live_attempt(database: Database, running: Fence) -> None:
    second = {column: db_now() for column in ("started_at", "heartbeat_at", "lease_expires_at", "deadline_at")}
    with pytest.raises(IntegrityError), database.write() as session:
        session.execute(insert(Attempt).values(job_id=running.job_id, number=2, worker="twin", **second))


def test_of_many_threads_one_wins_a_job(database: Database, submit: Callable[..., str]) -> None:
    job_id = submit()
    start = threading.Barrier(8)

    def race(number: int) -> Claim | None:
        start.wait()
        with database.write() as session:
            return claim_next(session, "default", f"worker-{number}", 60.0)

    with ThreadPoolExecutor(8) as pool:
        claims = [claim for claim in pool.map(race, range(8)) if claim]
    assert [claim.fence for claim in claims] == [Fence(job_id, 1)]


def test_processes_share_the_queue_and_no_job_runs_twice(
    database: Database, database_url: str, submit: Callable[..., str]
) -> None:
    submitted = {submit() for _ in range(JOBS)}
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    racers = [
        subprocess.Popen([sys.executable, CLAIMER, database_url], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    claimed: list[str] = []
    for racer in racers:
        output, _ = racer.communicate(timeout=60)
        assert racer.returncode == 0
        claimed += json.loads(output)
    assert len(claimed) == JOBS
    assert set(claimed) == submitted
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(Attempt)) == JOBS
