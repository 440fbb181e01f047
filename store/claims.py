"""Claims: how a worker becomes the one owner of the best job that waits."""

from dataclasses import dataclass

from sqlalchemy import insert
from sqlalchemy.sql.expression import func

from store.clock import db_now
from store.documents import JsonObject
from store.engine import WriteSession
from store.fences import Fence
from store.locks import lock_claims
from store.scheduling import best_job, first_that_waits_for_more, goes_before, teams_in_turn
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
    gpus: int = 1


def claim_next(
    session: WriteSession,
    queue: str,
    worker: str,
    lease_s: float,
    *,
    gpus: int = 1,
    in_all: int = 1,
    max_running: int | None = None,
) -> Claim | None:
    """Claim the job of a queue whose turn it is: see `store.scheduling`.

    Args:
        session: Committed by its owner; only then is the job ours.
        queue: Which queue.
        worker: Who claims, for the record.
        lease_s: How long the claim lasts without a renewal, in seconds.
        gpus: What the worker has free; jobs that ask for more are left to others. One that has none offers 1, since a
            job that asks for 1 takes whatever is there.
        in_all: What it has when all is free. While a job that waits for more than `gpus`, and no more than this,
            `goes_before` the one that would fit, nothing is claimed: else smaller jobs would take one device after the
            other from under it.
        max_running: The limit of running jobs of teams without one of their own; None is no limit.

    Returns:
        None when nothing is eligible.
    """
    lock_claims(session)
    large = first_that_waits_for_more(session, queue, gpus, in_all, max_running) if in_all > gpus else None
    for team_id in teams_in_turn(session, queue, gpus, max_running):
        # Never wait here, where others wait for us: PostgreSQL skips a job that is being cancelled right now.
        job = session.scalar(
            best_job(queue, team_id, gpus).with_for_update(skip_locked=True).execution_options(populate_existing=True)
        )
        if job is not None:
            if large is not None and goes_before(session, large, job):
                return None
            return _begin(session, job, worker, lease_s)
    return None


def _begin(session: WriteSession, job: Job, worker: str, lease_s: float) -> Claim | None:
    """Start the next attempt of a job whose row is locked."""
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
    return Claim(Fence(job.id, number), job.team_id, job.spec, job.dataset_id, job.model_id, job.gpus)
