"""The whole service in a few numbers, all teams together: for those who watch it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Select, func, select

from store.clock import db_now
from store.engine import ReadSession
from store.isolation import ACROSS_TEAMS
from store.scheduling import backs_off, is_waiting
from store.states import AttemptOutcome, JobStatus
from store.tables import Attempt, Job


@dataclass(frozen=True, slots=True)
class Fleet:
    """Where all jobs stand.

    Attributes:
        jobs: how many are in each state.
        attempts: how many ended in each way, of those on record.
        longest_wait_s: since the job was submitted that has waited longest of those a worker could take; 0 if none.
        oldest_heartbeat_s: since the last sign of life of the running attempt that has been silent longest; 0 if none.
    """

    jobs: Mapping[JobStatus, int]
    attempts: Mapping[AttemptOutcome, int]
    longest_wait_s: float
    oldest_heartbeat_s: float


def fleet(session: ReadSession) -> Fleet:
    """Count."""
    by_status = select(Job.status, func.count()).group_by(Job.status)
    by_outcome = select(Attempt.outcome, func.count()).group_by(Attempt.outcome)
    jobs = session.execute(by_status, execution_options=ACROSS_TEAMS).all()
    attempts = session.execute(by_outcome, execution_options=ACROSS_TEAMS).all()
    submitted = select(func.min(Job.created_at)).where(is_waiting(), ~backs_off())
    heard = select(func.min(Attempt.heartbeat_at)).where(Attempt.ended_at.is_(None))
    return Fleet(
        dict.fromkeys(JobStatus, 0) | dict(jobs),
        dict.fromkeys(AttemptOutcome, 0) | {outcome: count for outcome, count in attempts if outcome is not None},
        _age_s(session, submitted),
        _age_s(session, heard),
    )


def _age_s(session: ReadSession, since: Select[datetime]) -> float:
    """Seconds since the moment that a query finds, by the database's clock; 0 where it finds none."""
    moment = session.scalar(since, execution_options=ACROSS_TEAMS)
    now = session.scalar(select(db_now()))
    return max(0.0, (now - moment).total_seconds()) if now and moment else 0.0
