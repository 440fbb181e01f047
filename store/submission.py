"""Submits jobs, once per idempotency key."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

from sqlalchemy import Select, bindparam, func, select

from store.clock import db_now
from store.documents import JsonObject
from store.doorbell import DEFAULT_QUEUE
from store.engine import ReadSession, WriteSession
from store.errors import IdempotencyConflict, QueueFull
from store.events import write_event
from store.ids import new_id
from store.jobs import get_job
from store.locks import lock_team
from store.scheduling import is_waiting
from store.states import JobStatus
from store.tables import IdempotencyKey, Job
from store.upserts import insert_into

KEY_LIFE_S = 24 * 3600.0
"""How long an idempotency key is good, in seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """A validated submission, ready to be stored."""

    method: str
    target_sparsity: float
    spec: JsonObject
    dataset_id: str | None = None
    model_id: str | None = None
    name: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    priority: int = 0
    queue: str = DEFAULT_QUEUE
    warnings: Sequence[str] = ()
    total_steps: int | None = None
    max_attempts: int = 3
    max_runtime_s: float = 86_400.0
    gpus: int = 1
    sweep_id: str | None = None
    sweep_position: int | None = None


@dataclass(frozen=True, slots=True)
class Submitted:
    """A stored job, and whether an earlier request with the same key had stored it."""

    job: Job
    replayed: bool


def create_job(
    session: WriteSession,
    team_id: str,
    new: NewJob,
    *,
    idempotency_key: str | None = None,
    body_sha256: str = "",
    max_queued: int | None = None,
) -> Submitted:
    """Queue a job with its first event, or return the job that the same request queued before.

    Args:
        session: Committed by its owner; ring the queue after that.
        team_id: Whose job.
        new: The job.
        idempotency_key: The client's key, if it sent one; good for 24 hours.
        body_sha256: The digest of the request's body, which tells a repeated request from another.
        max_queued: The limit of waiting jobs of a team without one of its own; None is no limit.

    Raises:
        IdempotencyConflict: The key was used for another body.
        QueueFull: The team has as many waiting jobs as it may.
    """
    job_id = new_id("job")
    if idempotency_key is not None:
        first = take_key(session, team_id, idempotency_key, body_sha256, job_id)
        if first != job_id:
            return Submitted(get_job(session, team_id, first), replayed=True)
    keep_to_limit(session, team_id, max_queued)
    return Submitted(insert_job(session, team_id, job_id, new), replayed=False)


def insert_job(session: WriteSession, team_id: str, job_id: str, new: NewJob) -> Job:
    """Queue a job with its first event; whether the team may have it is the caller's to ask."""
    job = Job(
        id=job_id,
        team_id=team_id,
        name=new.name,
        tags=new.tags,
        priority=new.priority,
        queue=new.queue,
        status=JobStatus.QUEUED,
        method=new.method,
        target_sparsity=new.target_sparsity,
        spec=new.spec,
        warnings=new.warnings,
        dataset_id=new.dataset_id,
        model_id=new.model_id,
        max_attempts=new.max_attempts,
        max_runtime_s=new.max_runtime_s,
        gpus=new.gpus,
        total_steps=new.total_steps,
        sweep_id=new.sweep_id,
        sweep_position=new.sweep_position,
        event_seq=1,
    )
    session.add(job)
    session.flush()
    write_event(session, job_id, 1, "submitted", attempt=None, data={"status": JobStatus.QUEUED})
    return job


def first_answer(session: ReadSession, team_id: str, key: str | None, body_sha256: str) -> Job | None:
    """Return the job that the same request with the same key has queued, if it has.

    Raises:
        IdempotencyConflict: The key was used for another request.
    """
    if key is None:
        return None
    found = session.execute(
        select(IdempotencyKey.job_id, IdempotencyKey.body_sha256).where(
            IdempotencyKey.team_id == team_id,
            IdempotencyKey.key == key,
            IdempotencyKey.created_at >= db_now(-KEY_LIFE_S),
        )
    ).one_or_none()
    if found is None:
        return None
    if found.body_sha256 != body_sha256:
        raise IdempotencyConflict(key)
    return get_job(session, team_id, found.job_id)


def keep_to_limit(session: WriteSession, team_id: str, max_queued: int | None, adding: int = 1) -> None:
    """Refuse jobs too many. The team stays locked: of two submits at once, the second counts the first one's job.

    Raises:
        QueueFull: The team has as many waiting jobs as it may.
    """
    team = lock_team(session, team_id)
    limit = max_queued if team is None or team.max_queued is None else team.max_queued
    if limit is None:
        return
    waiting = session.scalar(_waiting(), {"team_id": team_id}) or 0
    if waiting + adding > limit:
        raise QueueFull(waiting, limit, adding)


@cache  # it takes longer to put together than to answer
def _waiting() -> Select[int]:
    """How many jobs of a team wait."""
    # Every queue has a name. Asked for one, SQLite sees that the index of waiting jobs fits better than those of lists.
    return select(func.count()).where(is_waiting(), Job.team_id == bindparam("team_id"), Job.queue > "")


def take_key(session: WriteSession, team_id: str, key: str, body_sha256: str, job_id: str) -> str:
    """Take the key for a job, or return the job that has it. Of two requests at once, the second waits here.

    Raises:
        IdempotencyConflict: It was used for another request.
    """
    row = insert_into(session, IdempotencyKey).values(
        team_id=team_id, key=key, body_sha256=body_sha256, job_id=job_id, created_at=db_now()
    )
    taken = session.scalar(
        row.on_conflict_do_update(
            index_elements=[IdempotencyKey.team_id, IdempotencyKey.key],
            set_={"body_sha256": body_sha256, "job_id": job_id, "created_at": db_now()},
            where=IdempotencyKey.created_at < db_now(-KEY_LIFE_S),
        ).returning(IdempotencyKey.job_id)
    )
    if taken is not None:
        return job_id
    first_job, first_body = session.execute(
        select(IdempotencyKey.job_id, IdempotencyKey.body_sha256).where(
            IdempotencyKey.team_id == team_id, IdempotencyKey.key == key
        )
    ).one()
    if first_body != body_sha256:
        raise IdempotencyConflict(key)
    return first_job
