"""Whose turn it is: the order in which waiting jobs are claimed, in SQL.

The highest priority goes first; of equal ones, that of the team with the fewest running jobs for its weight; of these,
the oldest. Teams at their limit of running jobs wait, as do jobs that back off after a crash.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Integer,
    Select,
    SQLColumnExpression,
    and_,
    func,
    literal,
    literal_column,
    select,
    type_coerce,
)
from sqlalchemy.orm import aliased
from sqlalchemy.sql.expression import ScalarSelect

from store.clock import UTCDateTime, db_now
from store.engine import ReadSession
from store.tables import Job, Team

Jobs = type[Job]

PATIENCE_S = 900.0
"""After so many seconds no younger job of the same priority takes GPUs from under one that needs more of them."""


def is_waiting(job: Jobs = Job) -> ColumnElement[bool]:
    """True for queued jobs. Spelt as in the condition of `ix_job_waiting`: a bound value could not be matched to it."""
    return job.status == literal_column("'queued'")


def is_active(job: Jobs = Job) -> ColumnElement[bool]:
    """True for jobs that hold a worker, spelt as in the condition of `ix_job_active`."""
    return job.status.in_([literal_column(f"'{word}'") for word in ("running", "pausing", "cancelling")])


def backs_off(job: Jobs = Job) -> ColumnElement[bool]:
    """True for jobs that crashed a moment ago and are not tried again yet."""
    return and_(job.not_before.is_not(None), job.not_before > db_now())


def teams_in_turn(session: ReadSession, queue: str, gpus: int, max_running: int | None) -> Sequence[str]:
    """Return the teams that may run a job of the queue on so many GPUs now, the one whose turn it is first.

    A look at the index per team, however many jobs wait: what a team's turn depends on is its best job.
    """
    waiting, head = aliased(Job), aliased(Job)
    best = (
        select(waiting.id)
        .where(is_waiting(waiting), waiting.team_id == Team.id, waiting.queue == queue)
        .where(~backs_off(waiting), waiting.gpus <= gpus)
        .order_by(*own_order(waiting))
        .limit(1)
        .correlate(Team)
        .scalar_subquery()
    )
    return session.scalars(
        select(Team.id)
        # It waits, as we know: said again, so that no plan ever reads the table.
        .join(head, and_(head.id == best, is_waiting(head)))
        .where(~_is_full(max_running))
        .order_by(head.priority.desc(), running_jobs() / Team.weight, head.created_at, head.id)
    ).all()


def best_job(queue: str, team_id: str, gpus: int) -> Select[Job]:
    """Select the job that is next within a team."""
    return (
        select(Job)
        .where(is_waiting(), Job.team_id == team_id, Job.queue == queue, ~backs_off(), Job.gpus <= gpus)
        .order_by(*own_order())
        .limit(1)
    )


def first_that_waits_for_more(
    session: ReadSession, queue: str, gpus: int, in_all: int, max_running: int | None
) -> Job | None:
    """Return the job whose turn is first of those that ask for more GPUs than are free, but no more than there are."""
    wants_more = and_(Job.gpus > gpus, Job.gpus <= in_all)
    return session.scalar(
        select(Job)
        .join(Team, Team.id == Job.team_id)
        .where(is_waiting(), Job.queue == queue, ~backs_off(), wants_more, ~_is_full(max_running))
        .order_by(*own_order())
        .limit(1)
    )


def goes_before(session: ReadSession, large: Job, small: Job) -> bool:
    """Whether GPUs are to stay free for a large job that a small one could begin on.

    They are where the large one has a higher priority. Of equal ones the small may go first, or GPUs would lie idle
    whenever a large job waits; but not for ever: see `PATIENCE_S`.
    """
    if large.priority != small.priority:
        return large.priority > small.priority
    waited_long = session.execute(select(literal(large.created_at, UTCDateTime) <= db_now(-PATIENCE_S))).scalar_one()
    return large.created_at < small.created_at and bool(waited_long)


def queues_with_work(session: ReadSession, max_running: int | None = None) -> list[str]:
    """Return the queues that hold a job which some worker may claim now, for the reconciler to ring.

    Args:
        session: Where to read.
        max_running: The limit of running jobs of teams without one of their own; None is no limit.
    """
    # Teams come second: asked for the jobs of some teams, SQLite would look through all that these ever had.
    waiting = select(Job.team_id, Job.queue).where(is_waiting(), ~backs_off()).distinct().subquery()
    rows = select(waiting.c.queue).join(Team, Team.id == waiting.c.team_id).where(~_is_full(max_running))
    return list(session.scalars(rows.distinct().order_by(waiting.c.queue)))


def own_order(job: Jobs = Job) -> Sequence[SQLColumnExpression[Any]]:
    """The order among a team's jobs, which is that of `ix_job_waiting`."""
    return [job.priority.desc(), job.created_at, job.id]


def running_jobs() -> ScalarSelect[int]:
    """How many jobs of the enclosing statement's team hold a worker."""
    job = aliased(Job)
    return select(func.count()).where(is_active(job), job.team_id == Team.id).correlate(Team).scalar_subquery()


def most_running(max_running: int | None) -> ColumnElement[int | None]:
    """The enclosing statement's team's limit of running jobs; null is none.

    Args:
        max_running: that of teams without one of their own; None is none.
    """
    return type_coerce(
        Team.max_running if max_running is None else func.coalesce(Team.max_running, max_running), Integer
    )


def _is_full(max_running: int | None) -> ColumnElement[bool]:
    """Whether the enclosing statement's team is at its limit; never null."""
    limit = most_running(max_running)
    return and_(limit.is_not(None), running_jobs() >= limit)
