"""Which workers are there, and what they offer: for advice only. Claims go by what a worker says when it claims."""

from sqlalchemy import ColumnElement, delete, func, select

from store.clock import db_now
from store.engine import ReadSession, WriteSession
from store.tables import Job, Worker
from store.upserts import insert_into

#: A worker that has not been heard of for so long, in seconds, is counted no more.
SEEN_S = 3600.0
_FORGOTTEN_S = 24 * 3600.0
_MOST = select(func.max(Worker.gpus)).where(Worker.seen_at > db_now(-SEEN_S))


def announce_worker(session: WriteSession, name: str, gpus: int) -> None:
    """Note that a worker is there.

    Args:
        session: Committed by its owner.
        name: What it signs with.
        gpus: The most GPUs that a job may ask of it.
    """
    session.execute(delete(Worker).where(Worker.seen_at < db_now(-_FORGOTTEN_S)))
    row = insert_into(session, Worker).values(name=name, gpus=gpus, seen_at=db_now())
    session.execute(row.on_conflict_do_update(index_elements=[Worker.name], set_={"gpus": gpus, "seen_at": db_now()}))


def most_gpus_offered(session: ReadSession) -> int:
    """The most GPUs that a worker offers that was seen within the last hour; 0 where none was."""
    return session.scalar(_MOST) or 0


def fits_a_worker() -> ColumnElement[bool]:
    """True for jobs that ask for no more GPUs than `most_gpus_offered`; for all where no worker was seen."""
    return Job.gpus <= func.coalesce(_MOST.scalar_subquery(), Job.gpus)
