"""Leases: how an owner shows that it lives, and how it learns that it must stop."""

from enum import StrEnum

from sqlalchemy import select, update

from store.clock import db_now
from store.engine import ReadSession, WriteSession
from store.fences import Fence
from store.states import AttemptOutcome, JobStatus
from store.tables import Attempt, Job


class LeaseAnswer(StrEnum):
    """What the database answers to an attempt that shows up."""

    KEEP = "keep"  # go on
    PAUSE = "pause"  # a pause was requested: let the trainer save a checkpoint, then `release_preempted`
    CANCEL = "cancel"  # a cancel was requested: stop the trainer, then `finish_cancelled`
    TIMED_OUT = "timed_out"  # max_runtime_s is used up: stop the trainer, then `finish_failed`
    ENDED = "ended"  # the trainer has written the attempt's end: let it leave, and write nothing
    LOST = "lost"  # the job is another's now: kill the trainer and write nothing


_ENDED_BY_ITSELF = frozenset({AttemptOutcome.SUCCEEDED, AttemptOutcome.FAILED, AttemptOutcome.CANCELLED})


def renew(session: WriteSession, fence: Fence, lease_s: float) -> LeaseAnswer:
    """Extend the lease of a live attempt from now, and say what its owner should do.

    A lease that has run out may still be renewed as long as nobody has taken the job away: a worker that was cut off
    for a while then simply goes on. The lease is extended whatever the answer, to leave time to stop.
    """
    renewed = session.execute(
        update(Attempt)
        .where(Attempt.job_id == fence.job_id, Attempt.number == fence.attempt, Attempt.ended_at.is_(None))
        .values(heartbeat_at=db_now(), lease_expires_at=db_now(lease_s))
        .returning(Attempt.number)
        .execution_options(synchronize_session=False)
    ).one_or_none()
    answer = peek(session, fence)
    # It may have been taken away in between: what counts is whether the lease was extended.
    return answer if renewed is not None or answer is LeaseAnswer.ENDED else LeaseAnswer.LOST


def peek(session: ReadSession, fence: Fence) -> LeaseAnswer:
    """Say what an attempt's owner should do, without renewing: cheap enough for every second."""
    row = session.execute(
        select(Job.status, Attempt.outcome, (Attempt.deadline_at <= db_now()).label("timed_out"))
        .join(Attempt, Attempt.job_id == Job.id)
        .where(Job.id == fence.job_id, Attempt.number == fence.attempt)
    ).one_or_none()
    if row is None:
        return LeaseAnswer.LOST
    if row.outcome is not None:
        return LeaseAnswer.ENDED if row.outcome in _ENDED_BY_ITSELF else LeaseAnswer.LOST
    if row.status is JobStatus.CANCELLING:
        return LeaseAnswer.CANCEL
    if row.timed_out:
        return LeaseAnswer.TIMED_OUT
    return LeaseAnswer.PAUSE if row.status is JobStatus.PAUSING else LeaseAnswer.KEEP
