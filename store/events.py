"""What happened to a job, in order: events, numbered per job from 1 without gaps."""

from collections.abc import Sequence

from sqlalchemy import insert, select, update

from store.documents import JsonObject
from store.engine import ReadSession, WriteSession
from store.fences import Fence, hold
from store.jobs import get_job
from store.outbox import queue_messages
from store.tables import Event, Job


def write_event(
    session: WriteSession, job_id: str, seq: int, type_: str, *, attempt: int | None, data: JsonObject
) -> None:
    """Insert an event under a number that the caller took from `Job.event_seq` in this transaction.

    The messages to webhooks that tell of it are written with it.
    """
    write_events(session, [job_id], seq, type_, attempt=attempt, data=data)


def write_events(
    session: WriteSession,
    job_ids: Sequence[str],
    seq: int,
    type_: str,
    *,
    attempt: int | None = None,
    data: JsonObject,
) -> None:
    """Insert the same event of several jobs, as `write_event` does that of one."""
    common = {"seq": seq, "type": type_, "attempt": attempt, "data": data}
    session.execute(insert(Event.__table__), [{"job_id": job_id, **common} for job_id in job_ids])  # type: ignore[arg-type] # it is a Table
    queue_messages(session, job_ids, seq, type_, data)


def add_event(session: WriteSession, fence: Fence, type_: str, data: JsonObject | None = None) -> None:
    """Note something that an attempt did without changing the job's state.

    Raises:
        FenceLost: The attempt no longer owns the job.
    """
    hold(session, fence)
    seq = session.execute(
        update(Job)
        .where(Job.id == fence.job_id)
        .values(event_seq=Job.event_seq + 1, version=Job.version + 1)
        .returning(Job.event_seq)
        .execution_options(synchronize_session=False)
    ).scalar_one()
    write_event(session, fence.job_id, seq, type_, attempt=fence.attempt, data=data or {})


def events_after(session: ReadSession, team_id: str, job_id: str, after: int = 0, limit: int = 1000) -> Sequence[Event]:
    """Return a job's events with a number above `after`, oldest first.

    Raises:
        NotFound: The team has no such job.
    """
    get_job(session, team_id, job_id)
    return session.scalars(
        select(Event).where(Event.job_id == job_id, Event.seq > after).order_by(Event.seq).limit(limit)
    ).all()
