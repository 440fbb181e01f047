"""When a waiting job may be done: told only where all that it depends on is known."""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from sqlalchemy import Select, bindparam, select

from store.engine import ReadSession
from store.isolation import ACROSS_TEAMS
from store.places import Standing, TeamInLine, is_in_line, standings_of
from store.scheduling import is_active, own_order
from store.states import JobStatus
from store.tables import Job

_FARTHEST = 20
"""From here on an estimate would be a guess upon guesses."""

_EXAMPLES = 5

_COSTS = ("batch_size", "gradient_accumulation", "max_length", "precision", "dense_baseline", "freeze_embeddings")
"""What makes a step of training longer or shorter, given model, dataset and method."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a waiting job stands.

    Attributes:
        position: 1 is next.
        eta_s: seconds until it is done, or None where that cannot be told.
    """

    position: int
    eta_s: float | None


def place_of(session: ReadSession, job: Job, max_running: int | None = None) -> Place | None:
    """Say where a job stands; None unless it is in the line.

    Args:
        session: Where to read.
        job: Which job.
        max_running: The limit of running jobs of teams without one of their own; None is no limit.
    """
    return places_of(session, [job], max_running).get(job.id)


def places_of(session: ReadSession, jobs: Sequence[Job], max_running: int | None = None) -> dict[str, Place]:
    """Say by id where jobs stand that a team queued one right after the other, as `place_of` does of one."""
    standings = standings_of(session, jobs, max_running)
    return {
        job.id: Place(standing.position, _eta_s(session, job, standing))
        for job in jobs
        if (standing := standings.get(job.id))
    }


def _eta_s(session: ReadSession, job: Job, standing: Standing) -> float | None:
    """Let the jobs before this one, and then this one, take the places of those that run now, as these become free.

    None unless it is known how long the running jobs still take and how long jobs like those in the line took before.
    What limits will do is not known, nor which place a job finds where others hold more GPUs than it asks for or fewer.
    """
    if standing.position > _FARTHEST or standing.is_held:
        return None
    running = session.execute(_running(), {"queue": job.queue}, execution_options=ACROSS_TEAMS).all()
    ends = [left for left, gpus in running if left is not None and gpus == job.gpus]
    if not ends or len(ends) < len(running):
        return None
    paces: dict[tuple[object, ...], float | None] = {}
    heapq.heapify(ends)
    for each in [*_before(session, job, standing), job]:
        kind = _kind(each)
        if kind not in paces:
            paces[kind] = _seconds_per_step(session, each)
        step_s = paces[kind]
        if each.gpus != job.gpus or step_s is None or each.total_steps is None:
            return None
        end = heapq.heappop(ends) + step_s * (each.total_steps or 1)
        heapq.heappush(ends, end)
    return round(end, 1)


@cache  # it takes longer to put together than to answer
def _running() -> Select[float | None, int]:
    """What is known of the jobs of a queue that hold a worker."""
    return select(Job.eta_s, Job.gpus).where(is_active(), Job.queue == bindparam("queue"))


def _before(session: ReadSession, job: Job, standing: Standing) -> list[Job]:
    """The jobs that stand before one, in the line's order: of each team its first few."""
    found: list[tuple[tuple[object, ...], Job]] = []
    for team, count in standing.ahead:
        found += [
            ((-each.priority, team.share(before), each.created_at, each.id), each)
            for before, each in enumerate(_first(session, team, job.queue, count))
        ]
    return [each for _, each in sorted(found, key=lambda pair: pair[0])]


def _first(session: ReadSession, team: TeamInLine, queue: str, count: int) -> list[Job]:
    mine = select(Job).where(is_in_line(), Job.team_id == team.team_id, Job.queue == queue)
    return list(session.scalars(mine.order_by(*own_order()).limit(count), execution_options=ACROSS_TEAMS))


def _kind(job: Job) -> tuple[object, ...]:
    """What jobs must have in common for one to foretell another's pace."""
    training = job.spec.get("training")
    costs = [training.get(name) for name in _COSTS] if isinstance(training, dict) else []
    return (job.model_id, job.dataset_id, job.method, str(job.spec.get("distillation")), *costs)


def _seconds_per_step(session: ReadSession, job: Job) -> float | None:
    """The mean over the latest jobs of the same kind that ran through at once; a job without steps counts as one."""
    done = session.scalars(  # across teams: those before it in the line may be anybody's
        select(Job)
        .where(Job.team_id == job.team_id, Job.model_id == job.model_id, Job.dataset_id == job.dataset_id)
        .where(Job.method == job.method, Job.gpus == job.gpus, Job.status == JobStatus.SUCCEEDED, Job.attempt == 1)
        .order_by(Job.created_at.desc())
        .limit(4 * _EXAMPLES),
        execution_options=ACROSS_TEAMS,
    )
    paces = [
        (past.finished_at - past.started_at).total_seconds() / (past.total_steps or 1)
        for past in done
        if past.started_at is not None and past.finished_at is not None and _kind(past) == _kind(job)
    ][:_EXAMPLES]
    return sum(paces) / len(paces) if paces else None
