"""Takes jobs back from attempts whose lease has run out."""

from dataclasses import dataclass

from sqlalchemy import select

from store.clock import db_now
from store.endings import JobError, release_crashed
from store.engine import WriteSession
from store.fences import Fence
from store.states import JobStatus
from store.tables import Attempt, Job

_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class ExpiredAttempt:
    """An attempt that was ended because nobody renewed its lease, and what became of its job."""

    fence: Fence
    worker: str
    queue: str
    status: JobStatus


def requeue_expired(session: WriteSession) -> list[ExpiredAttempt]:
    """End attempts whose lease has run out, and queue, fail or cancel their jobs.

    Any number of reconcilers may do this at once: rows that another one works on are skipped.
    """
    lapsed = session.execute(
        select(Attempt.job_id, Attempt.number, Attempt.worker, Job.queue)
        .join(Job, Job.id == Attempt.job_id)
        .where(Attempt.ended_at.is_(None), Attempt.lease_expires_at <= db_now())
        .order_by(Attempt.lease_expires_at)
        .limit(_AT_ONCE)
        # both rows: a renewal that comes while we decide waits, and then finds itself too late
        .with_for_update(of=[Job, Attempt], skip_locked=True)
    ).all()
    expired = []
    for job_id, number, worker, queue in lapsed:
        fence = Fence(job_id, number)
        error = JobError("lease_expired", f"Worker {worker} was not heard of until its lease ran out.")
        # The lease was wait enough.
        status = release_crashed(session, fence, error, at_once=True)
        expired.append(ExpiredAttempt(fence, worker, queue, status))
    return expired
