"""What a team has used: jobs, time of trainers and steps by day, and the bytes it keeps.

Read from the jobs and attempts themselves, so jobs that were deleted no longer count.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

from sqlalchemy import Select, case, func, literal, or_, select, union_all

from store.clock import db_now
from store.engine import ReadSession
from store.states import JobStatus
from store.tables import Artifact, Attempt, Checkpoint, Dataset, DatasetSplit, Job, Model, ModelFile

_DAY = timedelta(days=1)


@dataclass(slots=True)
class Usage:
    """What was used in some time.

    Attributes:
        jobs: how many were `submitted`, and how many ended `succeeded`, `failed` and `cancelled`.
        trainer_s: seconds in which attempts ran.
        gpu_s: the same, each times the GPUs of its job.
        steps: optimizer steps, counted on the day of the job's end, or of its last progress where it has not ended.
            What a retry took over counts with the job that took it.
    """

    jobs: Counter[str] = field(default_factory=Counter)
    trainer_s: float = 0.0
    gpu_s: float = 0.0
    steps: int = 0


def usage_by_day(session: ReadSession, team_id: str, first: date, last: date) -> Mapping[date, Usage]:
    """Return what a team used on each day (UTC) from the first to the last, both included."""
    days = {first + number * _DAY: Usage() for number in range((last - first).days + 1)}
    begin, end = _midnight(first), _midnight(last + _DAY)
    mine = Job.team_id == team_id
    created = select(Job.created_at).where(mine, Job.created_at >= begin, Job.created_at < end)
    for at in session.scalars(created):
        days[at.date()].jobs["submitted"] += 1
    taken = case((Job.step > Job.steps_taken_over, Job.step - Job.steps_taken_over), else_=0)
    ended = select(Job.finished_at, Job.status, taken).where(mine, Job.finished_at >= begin, Job.finished_at < end)
    for finished_at, status, step in session.execute(ended):
        if finished_at is not None:
            days[finished_at.date()].jobs[status] += 1
            days[finished_at.date()].steps += step
    moved = select(Job.updated_at, taken).where(mine, Job.finished_at.is_(None))
    for updated_at, step in session.execute(moved.where(Job.updated_at >= begin, Job.updated_at < end)):
        days[updated_at.date()].steps += step
    now = present(session)
    for started_at, ended_at, gpus in session.execute(_attempts(team_id, begin, end)):
        for day, seconds in _by_day(max(started_at, begin), min(ended_at or now, end)):
            days[day].trainer_s += seconds
            days[day].gpu_s += seconds * gpus
    return days


def total_of(usages: Sequence[Usage]) -> Usage:
    """Return all of them together."""
    return Usage(
        sum((each.jobs for each in usages), Counter()),
        sum(each.trainer_s for each in usages),
        sum(each.gpu_s for each in usages),
        sum(each.steps for each in usages),
    )


def present(session: ReadSession) -> datetime:
    """Return the time by the database's clock."""
    return session.execute(select(db_now())).scalar_one()


def jobs_by_status(session: ReadSession, team_id: str) -> Mapping[JobStatus, int]:
    """Return how many jobs of a team are in each state now."""
    rows = select(Job.status, func.count()).where(Job.team_id == team_id).group_by(Job.status)
    return dict(session.execute(rows).all())


@dataclass(frozen=True, slots=True)
class StoredBytes:
    """What a team's files are worth, before compression.

    Attributes:
        referenced: by what refers to them: `datasets`, `models`, `artifacts`, `checkpoints`. Content that is referred
            to several times counts as often.
        unique: each content once.
    """

    referenced: Mapping[str, int]
    unique: int


def stored_bytes(session: ReadSession, team_id: str) -> StoredBytes:
    """Return what a team keeps now."""
    files = union_all(
        select(literal("datasets").label("kind"), DatasetSplit.blob_id, DatasetSplit.size)
        .join(Dataset, Dataset.id == DatasetSplit.dataset_id)
        .where(Dataset.team_id == team_id),
        select(literal("models"), ModelFile.blob_id, ModelFile.size)
        .join(Model, Model.id == ModelFile.model_id)
        .where(Model.team_id == team_id),
        *(
            select(literal(f"{table.__tablename__}s"), table.blob_id, table.size)
            .join(Job, Job.id == table.job_id)
            .where(Job.team_id == team_id)
            for table in (Artifact, Checkpoint)
        ),
    ).subquery()
    kinds = session.execute(select(files.c.kind, func.sum(files.c.size)).group_by(files.c.kind))
    once = select(func.max(files.c.size).label("size")).group_by(files.c.blob_id).subquery()
    referenced = {"datasets": 0, "models": 0, "artifacts": 0, "checkpoints": 0}
    referenced |= {kind: int(size) for kind, size in kinds}
    return StoredBytes(referenced, int(session.scalar(select(func.sum(once.c.size))) or 0))


def _attempts(team_id: str, begin: datetime, end: datetime) -> Select[datetime, datetime | None, int]:
    """Attempts of which a part lies in the time. Jobs come first: few of a team's may reach into it."""
    reach = (Job.created_at < end, or_(Job.finished_at.is_(None), Job.finished_at >= begin))
    return (
        select(Attempt.started_at, Attempt.ended_at, Job.gpus)
        .join(Job, Job.id == Attempt.job_id)
        .where(Job.team_id == team_id, *reach)
        .where(Attempt.started_at < end, or_(Attempt.ended_at.is_(None), Attempt.ended_at > begin))
    )


def _by_day(begin: datetime, end: datetime) -> Iterator[tuple[date, float]]:
    """The days of a stretch of time, with the seconds of each that it takes."""
    while begin < end:
        day = begin.date()
        until = min(end, _midnight(day + _DAY))
        yield day, (until - begin).total_seconds()
        begin = until


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
