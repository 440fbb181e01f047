"""Moves jobs between states: one conditional UPDATE and its event, in the caller's transaction."""

from collections.abc import Collection, Mapping

from sqlalchemy import update

from store.clock import db_now
from store.documents import JsonObject
from store.engine import WriteSession
from store.events import write_event
from store.states import ACTIVE, ALLOWED, TERMINAL, JobStatus
from store.tables import Job


def move(
    session: WriteSession,
    job_id: str,
    to: JobStatus,
    *,
    from_: Collection[JobStatus],
    attempt: int | None = None,
    event: str,
    data: JsonObject | None = None,
    columns: Mapping[str, object] | None = None,
) -> bool:
    """Move a job to a state if it is in one of the given states, and write the event.

    Args:
        session: Committed by its owner; the change and its event stand or fall together.
        job_id: Which job.
        to: Its next state.
        from_: The states it may be in now.
        attempt: If given, the number its latest attempt must have.
        event: The event's type.
        data: What the event says beside the new status.
        columns: Other columns of the job to set at once, as values or SQL expressions.

    Returns:
        False if the job is in another state or attempt, and nothing changed.

    Raises:
        ValueError: The transition table has no such transition.
    """
    forbidden = [state for state in from_ if to not in ALLOWED[state]]
    if forbidden:
        raise ValueError(f"No job may go from {', '.join(forbidden)} to {to}. See store.states.ALLOWED.")
    finished: Mapping[str, object] = {"finished_at": db_now()} if to in TERMINAL else {}
    left: Mapping[str, object] = {} if to in ACTIVE else {"eta_s": None}  # the next attempt tells its own
    statement = (
        update(Job)
        .where(Job.id == job_id, Job.status.in_(from_))
        .values(
            status=to,
            version=Job.version + 1,
            event_seq=Job.event_seq + 1,
            updated_at=db_now(),
            **finished,
            **left,
            **(columns or {}),
        )
        .returning(Job.event_seq, Job.attempt)
        .execution_options(synchronize_session=False)
    )
    if attempt is not None:
        statement = statement.where(Job.attempt == attempt)
    changed = session.execute(statement).one_or_none()
    if changed is None:
        return False
    seq, number = changed
    write_event(session, job_id, seq, event, attempt=number or None, data={"status": to, **(data or {})})
    return True
