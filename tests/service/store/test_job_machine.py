"""The job engine as a state machine: whatever happens in whatever order, the promises hold."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import func, select, update

from store import (
    ACTIVE,
    TERMINAL,
    Attempt,
    Event,
    Fence,
    FenceLost,
    Job,
    JobError,
    JobStatus,
    LeaseAnswer,
    NewJob,
    TransitionRefused,
    WriteSession,
    claim_next,
    create_job,
    ensure_team,
    finish_failed,
    finish_succeeded,
    open_database,
    record_progress,
    release_crashed,
    release_preempted,
    renew,
    request_cancel,
    requeue_expired,
)
from store.clock import db_now

ERROR = JobError("broken", "It broke.")


class JobMachine(RuleBasedStateMachine):
    """Submits, claims, ends, cancels and loses jobs at random, with every fence that was ever given out."""

    empty: Path
    jobs = Bundle("jobs")
    fences = Bundle("fences")

    @initialize()
    def start(self) -> None:
        """Take an empty database."""
        self.folder = tempfile.mkdtemp(prefix="machine")
        self.database = open_database(f"sqlite:///{shutil.copy(self.empty, self.folder)}")
        with self.database.write() as session:
            self.team = ensure_team(session, "team").id
        self.ended: dict[str, tuple[JobStatus, int]] = {}

    def teardown(self) -> None:
        """Drop it."""
        if hasattr(self, "database"):
            self.database.close()
            shutil.rmtree(self.folder)

    @contextmanager
    def fenced(self, fence: Fence) -> Iterator[WriteSession]:
        """Write as an owner, which must work exactly while the attempt is live."""
        with self.database.read() as session:
            live = session.get_one(Attempt, (fence.job_id, fence.attempt)).ended_at is None
        try:
            with self.database.write() as session:
                yield session
        except FenceLost:
            assert not live
        else:
            assert live

    @rule(target=jobs, most=st.integers(1, 3))
    def submit(self, most: int) -> str:
        """Queue a job."""
        with self.database.write() as session:
            new = NewJob(method="movement", target_sparsity=0.5, spec={}, max_attempts=most)
            return create_job(session, self.team, new).job.id

    @rule(target=fences)
    def claim(self) -> object:
        """Claim whatever waits, as if every backoff were over."""
        with self.database.write() as session:
            session.execute(update(Job).values(not_before=None))
            claimed = claim_next(session, "default", "worker", 60.0)
            return claimed.fence if claimed else multiple()

    @rule(fence=fences)
    def progress(self, fence: Fence) -> None:
        """Report a step."""
        with self.fenced(fence) as session:
            record_progress(session, fence, step=1, metrics=[("loss", 1, 0.5)])

    @rule(fence=fences)
    def renew(self, fence: Fence) -> None:
        """Show up."""
        with self.database.write() as session:
            live = session.get_one(Attempt, (fence.job_id, fence.attempt)).ended_at is None
            assert (renew(session, fence, 60.0) is LeaseAnswer.LOST) == (not live)

    @rule(fence=fences)
    def succeed(self, fence: Fence) -> None:
        """End well."""
        with self.fenced(fence) as session:
            finish_succeeded(session, fence, {}, [], [])

    @rule(fence=fences)
    def fail(self, fence: Fence) -> None:
        """End badly."""
        with self.fenced(fence) as session:
            finish_failed(session, fence, ERROR)

    @rule(fence=fences)
    def crash(self, fence: Fence) -> None:
        """Lose the trainer."""
        with self.fenced(fence) as session:
            release_crashed(session, fence, ERROR)

    @rule(fence=fences)
    def preempt(self, fence: Fence) -> None:
        """Stop the worker."""
        with self.fenced(fence) as session:
            release_preempted(session, fence)

    @rule()
    def lose(self) -> None:
        """Lose every worker."""
        with self.database.write() as session:
            live = session.scalar(select(func.count()).select_from(Attempt).where(Attempt.ended_at.is_(None)))
            session.execute(update(Attempt).values(lease_expires_at=db_now(-1.0)))
            assert len(requeue_expired(session)) == live

    @rule(job_id=jobs)
    def cancel(self, job_id: str) -> None:
        """Ask for a cancel."""
        try:
            with self.database.write() as session:
                request_cancel(session, self.team, job_id)
        except TransitionRefused:
            assert job_id in self.ended

    @invariant()
    def promises(self) -> None:
        """Check what must hold at every moment."""
        if not hasattr(self, "database"):
            return
        with self.database.read() as session:
            attempts = select(Attempt.job_id, Attempt.number).where(Attempt.ended_at.is_(None))
            live = dict(session.execute(attempts).all())
            events = session.execute(select(Event.job_id, Event.seq).order_by(Event.job_id, Event.seq)).all()
            jobs = session.scalars(select(Job)).all()
        numbers = {job_id: [seq for _, seq in rows] for job_id, rows in groupby(events, key=lambda row: row.job_id)}
        for job in jobs:
            assert live.get(job.id) == (job.attempt if job.status in ACTIVE else None)
            assert numbers[job.id] == list(range(1, job.event_seq + 1))
            assert job.crashes <= min(job.attempt, job.max_attempts)
            assert (job.finished_at is not None) == (job.status in TERMINAL)
            if job.status in TERMINAL:
                assert self.ended.setdefault(job.id, (job.status, job.version)) == (job.status, job.version)
            else:
                assert job.id not in self.ended


@pytest.mark.slow
def test_the_promises_hold_whatever_happens(migrated_sqlite_file: Path) -> None:
    JobMachine.empty = migrated_sqlite_file
    run_state_machine_as_test(JobMachine, settings=settings(max_examples=20, stateful_step_count=25, deadline=None))
