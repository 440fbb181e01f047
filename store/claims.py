"""Claims: how a worker becomes the one owner of the best job that waits."""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, insert, or_, select
from sqlalchemy.sql.expression import func

from store.clock import db_now
from store.documents import JsonObject
from store.engine import ReadSession, WriteSession
from store.fences import Fence
from store.states import JobStatus
from store.tables import Attempt, Job
from store.transitions import move


@dataclass(frozen=True, slots=True)
class Claim:
    """A job that is ours now, with all that running it needs."""

    fence: Fence
    team_id: str
    spec: JsonObject
    dataset_id: str | None
    model_id: str | None


def _eligible() -> ColumnElement[bool]:
    return (Job.status == JobStatus.QUEUED) & or_(Job.not_before.is_(None), Job.not_before <= db_now())


def claim_next(session: WriteSession, queue: str, worker: str, lease_s: float) -> Claim | None:
    """Claim the eligible job of a queue that has the highest priority, and of these the oldest.

    Args:
        session: Committed by its owner; only then is the job ours.
        queue: Which queue.
        worker: Who claims, for the record.
        lease_s: How long the claim lasts without a renewal, in seconds.

    Returns:
        None when nothing is eligible.
    """
    # Two claimers never wait for each other: PostgreSQL skips what another has locked, and SQLite (which has no row
    # locks and ignores FOR UPDATE) lets one writer in at a time.
    job = session.scalar(
        select(Job)
        .where(Job.queue == queue, _eligible())
        .order_by(Job.priority.desc(), Job.created_at, Job.id)
        .limit(1)
        .with_for_update(skip_locked=True)
        .execution_options(populate_existing=True)
    )
    if job is None:
        return None
    number = job.attempt + 1
    claimed = move(
        session,
        job.id,
        JobStatus.RUNNING,
        from_=(JobStatus.QUEUED,),
        event="started",
        data={"worker": worker, "attempt": number},
        columns={"attempt": number, "started_at": func.coalesce(Job.started_at, db_now()), "not_before": None},
    )
    if not claimed:
        return None
    session.execute(
        insert(Attempt).values(
            job_id=job.id,
            number=number,
            worker=worker,
            started_at=db_now(),
            heartbeat_at=db_now(),
            lease_expires_at=db_now(lease_s),
            deadline_at=db_now(job.max_runtime_s),
        )
    )
    return Claim(Fence(job.id, number), job.team_id, job.spec, job.dataset_id, job.model_id)


def queues_with_work(session: ReadSession) -> list[str]:
    """Return the queues that hold an eligible job, for the reconciler to ring."""
    return list(session.scalars(select(Job.queue).where(_eligible()).distinct().order_by(Job.queue)))
