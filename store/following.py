"""What changed in jobs that somebody follows: a few statements, however many jobs and listeners there are."""

from collections.abc import Collection, Mapping, Sequence
from itertools import groupby

from sqlalchemy import and_, or_, select

from store.engine import ReadSession
from store.isolation import ACROSS_TEAMS
from store.tables import Event, Job

_AT_A_TIME = 500
"""Jobs in one statement: databases bound the parameters of one."""


def versions_of(session: ReadSession, job_ids: Collection[str]) -> dict[str, int]:
    """Return the version of each job there is. Whoever calls has seen to it that the listeners may see them."""
    found: dict[str, int] = {}
    for some in _portions(sorted(job_ids)):
        rows = session.execute(select(Job.id, Job.version).where(Job.id.in_(some)), execution_options=ACROSS_TEAMS)
        found |= {row.id: row.version for row in rows}
    return found


def jobs_across(session: ReadSession, job_ids: Collection[str]) -> dict[str, Job]:
    """Return jobs as they are now, whoever's they are; those that are gone are left out."""
    jobs: dict[str, Job] = {}
    for some in _portions(sorted(job_ids)):
        found = session.scalars(select(Job).where(Job.id.in_(some)), execution_options=ACROSS_TEAMS)
        jobs |= {job.id: job for job in found}
    return jobs


def changes_of(session: ReadSession, seen: Mapping[str, int]) -> dict[str, tuple[Job, Sequence[Event]]]:
    """Return jobs as they are now, each with its events after the number that was seen, oldest first.

    A job that is gone is left out.
    """
    jobs = jobs_across(session, seen)
    events: dict[str, Sequence[Event]] = {}
    for some in _portions(sorted(seen)):
        later = or_(*(and_(Event.job_id == job_id, Event.seq > seen[job_id]) for job_id in some))
        ordered = select(Event).where(later).order_by(Event.job_id, Event.seq)
        rows = session.scalars(ordered, execution_options=ACROSS_TEAMS)
        events |= {job_id: list(group) for job_id, group in groupby(rows, key=lambda event: event.job_id)}
    return {job_id: (job, events.get(job_id, [])) for job_id, job in jobs.items()}


def _portions(ids: Sequence[str]) -> list[Sequence[str]]:
    return [ids[start : start + _AT_A_TIME] for start in range(0, len(ids), _AT_A_TIME)]
