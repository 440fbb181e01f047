"""The fence: the token that lets one attempt, and no zombie, write about its job."""

from dataclasses import dataclass

from sqlalchemy import select

from store.engine import WriteSession
from store.errors import FenceLost
from store.states import ACTIVE, JobStatus
from store.tables import Job


@dataclass(frozen=True, slots=True)
class Fence:
    """Proof of ownership: the job and the number of the attempt that holds it."""

    job_id: str
    attempt: int


def hold(session: WriteSession, fence: Fence) -> JobStatus:
    """Lock the job's row and prove that the attempt still owns it, until the transaction ends.

    Every fenced write begins here. The lock is what makes the proof last: without it, on PostgreSQL, the job could
    be given to another attempt between the proof and the write. Locks are always taken in the order job, attempt.

    Returns:
        The job's status: running, pausing or cancelling.

    Raises:
        FenceLost: The attempt no longer owns the job.
    """
    status = session.scalar(
        select(Job.status)
        .where(Job.id == fence.job_id, Job.attempt == fence.attempt, Job.status.in_(ACTIVE))
        .with_for_update()
    )
    if status is None:
        raise FenceLost(fence.job_id, fence.attempt)
    return status
