"""Submits jobs, once per idempotency key."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cache

from sqlalchemy import Select, bindparam, delete, func, insert, inspect, select

from store.clock import db_now
from store.documents import JsonObject
from store.doorbell import DEFAULT_QUEUE
from store.engine import ReadSession, WriteSession
from store.errors import IdempotencyConflict, NotFound, QueueFull
from store.events import write_events
from store.ids import new_id
from store.jobs import get_job
from store.locks import lock_team
from store.scheduling import is_waiting
from store.states import JobStatus
from store.tables import IdempotencyKey, Job, Model
from store.upserts import insert_into

_STORED = "upload://"
"""How a spec names what is in the store."""

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
class Submission:
    """A job that is to be stored, and what tells its request from others.

    Attributes:
        new: the job.
        idempotency_key: the client's key, if it sent one; good for 24 hours.
        body_sha256: the digest of the request's body, which tells a repeated request from another.
    """

    new: NewJob
    idempotency_key: str | None = None
    body_sha256: str = ""


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
    """Queue a job, as `create_jobs` does.

    Raises:
        IdempotencyConflict: The key was used for another body.
        QueueFull: The team has as many waiting jobs as it may.
    """
    submission = Submission(new, idempotency_key, body_sha256)
    [outcome] = create_jobs(session, team_id, [submission], max_queued=max_queued)
    if isinstance(outcome, Submitted):
        return outcome
    raise outcome


def create_jobs(
    session: WriteSession, team_id: str, submissions: Sequence[Submission], *, max_queued: int | None = None
) -> Sequence[Submitted | IdempotencyConflict | QueueFull]:
    """Queue jobs, each with its first event, or find those that the same requests queued before.

    Of several, each is stored or refused for itself; what a refusal leaves may be committed.

    Args:
        session: Committed by its owner; ring the queues after that.
        team_id: Whose jobs.
        submissions: The jobs, in the order in which they are to wait.
        max_queued: The limit of waiting jobs of a team without one of its own; None is no limit.
    """
    room = _room(session, team_id, max_queued)
    new: dict[str, NewJob] = {}
    found: list[tuple[str, bool] | IdempotencyConflict | QueueFull] = []
    for each in submissions:
        job_id = first = new_id("job")
        try:
            if each.idempotency_key is not None:
                first = take_key(session, team_id, each.idempotency_key, each.body_sha256, job_id)
            if first == job_id:
                room.take(len(new))
                new[job_id] = each.new
            found.append((first, first != job_id))
        except IdempotencyConflict as error:
            found.append(error)
        except QueueFull as error:
            _give_back(session, team_id, each.idempotency_key)
            found.append(error)
    jobs = insert_jobs(session, team_id, new)
    return [
        Submitted(jobs.get(each[0]) or get_job(session, team_id, each[0]), each[1]) if isinstance(each, tuple) else each
        for each in found
    ]


def insert_jobs(session: WriteSession, team_id: str, new: Mapping[str, NewJob]) -> dict[str, Job]:
    """Queue jobs by their ids, each with its first event; whether the team may have them is the caller's to ask."""
    if not new:
        return {}
    require_teachers(session, team_id, [job.spec for job in new.values()])
    fixed = {"team_id": team_id, "status": JobStatus.QUEUED, "event_seq": 1}
    rows = [{"id": job_id, **fixed, **{name: getattr(job, name) for name in _COLUMNS}} for job_id, job in new.items()]
    first = session.scalars(insert(Job).values(rows[0]).returning(Job)).one()
    # To read each of many takes as long as to write it; what is not given here is the same in all.
    common = {name: getattr(first, name) for name in inspect(Job).columns.keys()}  # noqa: SIM118 - no dictionary
    rows[1:] = [{**row, "created_at": first.created_at, "updated_at": first.updated_at} for row in rows[1:]]
    if rows[1:]:
        session.execute(insert(Job.__table__), rows[1:])  # type: ignore[arg-type] # it is a Table
    write_events(session, list(new), 1, "submitted", data={"status": JobStatus.QUEUED})
    return {first.id: first} | {str(row["id"]): _read({**common, **row}) for row in rows[1:]}


def require_teachers(session: WriteSession, team_id: str, specs: Iterable[JsonObject]) -> None:
    """See that the models that jobs are to learn from are there, and keep them from being deleted until the commit.

    A job's own model and dataset are columns, which the database looks after; a teacher is named in its spec only.

    Raises:
        NotFound: One is not.
    """
    wanted = {teacher for spec in specs if (teacher := _teacher_in(spec))}
    if not wanted:
        return
    theirs = select(Model.id).where(Model.team_id == team_id, Model.id.in_(wanted))
    if missing := wanted - set(session.scalars(theirs.with_for_update(read=True))):
        raise NotFound("model", min(missing))


def _teacher_in(spec: JsonObject) -> str | None:
    distillation = spec.get("distillation")
    uri = distillation.get("teacher") if isinstance(distillation, Mapping) else None
    return uri.removeprefix(_STORED) if isinstance(uri, str) and uri.startswith(_STORED) else None


def _read(columns: Mapping[str, object]) -> Job:
    """A job as it would be read."""
    job = Job()
    vars(job).update(columns)
    return job


_COLUMNS = tuple(field.name for field in fields(NewJob))


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


@dataclass(frozen=True, slots=True)
class _Room:
    """How many jobs of a team wait, and how many may; None is no limit."""

    waiting: int
    limit: int | None

    def take(self, taken: int, adding: int = 1) -> None:
        """Refuse jobs too many.

        Raises:
            QueueFull: With what was taken before, the team has as many waiting jobs as it may.
        """
        if self.limit is not None and self.waiting + taken + adding > self.limit:
            raise QueueFull(self.waiting + taken, self.limit, adding)


def keep_to_limit(session: WriteSession, team_id: str, max_queued: int | None, adding: int = 1) -> None:
    """Refuse jobs too many.

    Raises:
        QueueFull: The team has as many waiting jobs as it may.
    """
    _room(session, team_id, max_queued).take(0, adding)


def _room(session: WriteSession, team_id: str, max_queued: int | None) -> _Room:
    """Count the team's waiting jobs. It stays locked: of two submits at once, the second counts the first one's job."""
    team = lock_team(session, team_id)
    limit = max_queued if team is None or team.max_queued is None else team.max_queued
    waiting = 0 if limit is None else session.scalar(_waiting(), {"team_id": team_id}) or 0
    return _Room(waiting, limit)


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


def _give_back(session: WriteSession, team_id: str, key: str | None) -> None:
    """Undo `take_key`."""
    if key is not None:
        mine = (IdempotencyKey.team_id == team_id, IdempotencyKey.key == key)
        session.execute(delete(IdempotencyKey).where(*mine).execution_options(synchronize_session=False))
