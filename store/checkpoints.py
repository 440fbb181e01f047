"""Checkpoints: published by whoever owns the job, and what the next attempt goes on from."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, delete, exists, func, insert, select, update

from store.blobs import BlobRef, release_blobs
from store.documents import JsonObject
from store.engine import ReadSession, WriteSession
from store.events import add_event
from store.fences import Fence, hold
from store.tables import Checkpoint, Event, Job

_SAVED = "checkpoint"


def publish_checkpoint(session: WriteSession, fence: Fence, step: int, blob: BlobRef, *, keep: int = 2) -> int:
    """Record an uploaded checkpoint as the newest of a job, and let those before the last `keep` go.

    A checkpoint that is further than any before shows that the job can get on: its crashes are counted anew.

    Args:
        session: Committed by its owner; only then does the checkpoint exist.
        fence: The attempt that wrote it.
        step: Optimizer steps done, as `record_progress` counts them.
        blob: The uploaded file.
        keep: How many stay: one more than is needed, in case the newest turns out damaged.

    Returns:
        Its number.

    Raises:
        FenceLost: The attempt no longer owns the job; the blob is left to the sweep.
    """
    hold(session, fence)
    mine = Checkpoint.job_id == fence.job_id
    number, furthest = session.execute(
        select(func.coalesce(func.max(Checkpoint.number), 0) + 1, func.coalesce(func.max(Checkpoint.step), 0)).where(
            mine
        )
    ).one()
    session.execute(
        insert(Checkpoint).values(
            job_id=fence.job_id, number=number, attempt=fence.attempt, step=step, size=blob.size, blob_id=blob.id
        )
    )
    _forget(session, mine, Checkpoint.number <= number - keep)
    if step > furthest:
        _forgive_crashes(session, fence.job_id, step)
    said: JsonObject = {"number": number, "step": step, "bytes": blob.size}
    add_event(session, fence, _SAVED, said)
    return number


def checkpoints_of(session: ReadSession, job_id: str) -> Sequence[Checkpoint]:
    """Return a job's checkpoints, the newest first; for workers, who own the job."""
    return session.scalars(
        select(Checkpoint).where(Checkpoint.job_id == job_id).order_by(Checkpoint.number.desc())
    ).all()


def discard_checkpoint(session: WriteSession, fence: Fence, number: int, reason: str) -> None:
    """Forget a checkpoint that cannot be used, and say why.

    Raises:
        FenceLost: The attempt no longer owns the job.
    """
    hold(session, fence)
    _forget(session, Checkpoint.job_id == fence.job_id, Checkpoint.number == number)
    add_event(session, fence, "checkpoint_discarded", {"number": number, "reason": reason})


def drop_checkpoints(session: WriteSession, job_id: str) -> None:
    """Forget all checkpoints of a job that has no more use for them."""
    _forget(session, Checkpoint.job_id == job_id)


def _forgive_crashes(session: WriteSession, job_id: str, step: int) -> None:
    """Count a job's crashes anew, unless it was as far before: what was discarded since is known by its event."""
    was_there = exists().where(Event.job_id == job_id, Event.type == _SAVED, Event.data["step"].as_integer() >= step)
    session.execute(
        update(Job)
        .where(Job.id == job_id, Job.crashes > 0, ~was_there)
        .values(crashes=0)
        .execution_options(synchronize_session=False)
    )


def _forget(session: WriteSession, *which: ColumnElement[bool]) -> None:
    """Remove rows, and at once their files: those of an hour of training would fill a disk until the next sweep."""
    gone = session.scalars(
        delete(Checkpoint).where(*which).returning(Checkpoint.blob_id).execution_options(synchronize_session=False)
    ).all()
    release_blobs(session, gone)
