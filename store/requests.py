"""What users ask of a job: cancel, pause, resume, to try it again, and to keep its files."""

import hashlib

from sqlalchemy import insert, select, update

from store.checkpoints import checkpoints_of, drop_checkpoints
from store.clock import db_now
from store.engine import WriteSession
from store.errors import InputGone, NotFound, TransitionRefused
from store.events import write_event
from store.ids import new_id
from store.jobs import get_job
from store.states import TERMINAL, JobStatus
from store.submission import keep_to_limit, require_teachers, take_key
from store.tables import Checkpoint, Job
from store.transitions import move

#: What a retry takes over from the job that it tries again.
_COPIED = (
    "name",
    "tags",
    "priority",
    "queue",
    "method",
    "target_sparsity",
    "spec",
    "warnings",
    "dataset_id",
    "model_id",
    "max_attempts",
    "max_runtime_s",
    "gpus",
    "total_steps",
    "sweep_id",
    "sweep_position",
)


def request_cancel(session: WriteSession, team_id: str, job_id: str) -> Job:
    """Cancel a job: at once if nobody works on it, else by asking its worker. Asking again changes nothing.

    Raises:
        NotFound: The team has no such job.
        TransitionRefused: The job has already ended.
    """
    status = _lock(session, team_id, job_id)
    if status in TERMINAL:
        raise TransitionRefused(job_id, "be cancelled", status)
    if status in (JobStatus.QUEUED, JobStatus.PAUSED):
        move(session, job_id, JobStatus.CANCELLED, from_=(status,), event="cancelled")
        drop_checkpoints(session, job_id)
    elif status is not JobStatus.CANCELLING:
        move(session, job_id, JobStatus.CANCELLING, from_=(status,), event="cancel_requested")
    return get_job(session, team_id, job_id)


def request_pause(session: WriteSession, team_id: str, job_id: str) -> Job:
    """Pause a job: at once while it waits, else when its worker has saved a checkpoint. Asking again changes nothing.

    Raises:
        NotFound: The team has no such job.
        TransitionRefused: The job has ended, or is being cancelled.
    """
    status = _lock(session, team_id, job_id)
    if status is JobStatus.QUEUED:
        move(session, job_id, JobStatus.PAUSED, from_=(status,), event="paused")
    elif status is JobStatus.RUNNING:
        move(session, job_id, JobStatus.PAUSING, from_=(status,), event="pause_requested")
    elif status not in (JobStatus.PAUSING, JobStatus.PAUSED):
        raise TransitionRefused(job_id, "be paused", status)
    return get_job(session, team_id, job_id)


def request_resume(session: WriteSession, team_id: str, job_id: str) -> Job:
    """Queue a paused job again; ring its queue after the commit. Of a job that waits or runs nothing is changed.

    Raises:
        NotFound: The team has no such job.
        TransitionRefused: The job is still pausing, is being cancelled, or has ended.
    """
    status = _lock(session, team_id, job_id)
    if status is JobStatus.PAUSED:
        # A wait after a crash has nothing to do with the user's wish to go on now.
        move(session, job_id, JobStatus.QUEUED, from_=(status,), event="resumed", columns={"not_before": None})
    elif status not in (JobStatus.QUEUED, JobStatus.RUNNING):
        raise TransitionRefused(job_id, "be resumed", status)
    return get_job(session, team_id, job_id)


def retry_job(
    session: WriteSession,
    team_id: str,
    job_id: str,
    *,
    idempotency_key: str | None = None,
    max_queued: int | None = None,
) -> Job:
    """Queue a copy of a job that failed or was cancelled; ring its queue after the commit.

    A job ends once, so trying again is a job of its own, which goes on from what the old one saved. It has its own
    count of attempts, and counts as any job that is submitted.

    Args:
        session: Committed by its owner.
        team_id: Whose job.
        job_id: The job to try again.
        idempotency_key: The client's key, if it sent one; the same key gives the same new job for 24 hours.
        max_queued: The limit of waiting jobs of a team without one of its own; None is no limit.

    Returns:
        The new job; its `retry_of` is the old one.

    Raises:
        NotFound: The team has no such job.
        TransitionRefused: The job has not ended, or has succeeded.
        InputGone: Its model, dataset or teacher was deleted.
        IdempotencyConflict: The key was used for another request.
        QueueFull: The team has as many waiting jobs as it may.
    """
    new_job_id = new_id("job")
    status = _lock(session, team_id, job_id)
    if idempotency_key is not None:
        request = hashlib.sha256(f"retry {job_id}".encode()).hexdigest()
        first = take_key(session, team_id, idempotency_key, request, new_job_id)
        if first != new_job_id:
            return get_job(session, team_id, first)
    if status not in (JobStatus.FAILED, JobStatus.CANCELLED):
        raise TransitionRefused(job_id, "be tried again", status)
    keep_to_limit(session, team_id, max_queued)
    old = get_job(session, team_id, job_id)
    _require_inputs(session, old)
    checkpoints = checkpoints_of(session, job_id)
    new = Job(
        id=new_job_id,
        team_id=team_id,
        status=JobStatus.QUEUED,
        retry_of=job_id,
        steps_taken_over=max((saved.step for saved in checkpoints), default=0),
        event_seq=1,
        **{name: getattr(old, name) for name in _COPIED},
    )
    session.add(new)
    session.flush()
    write_event(session, new.id, 1, "submitted", attempt=None, data={"status": JobStatus.QUEUED, "retry_of": job_id})
    for saved in checkpoints:
        values = {name: getattr(saved, name) for name in ("number", "step", "size", "blob_id")}
        session.execute(insert(Checkpoint).values(job_id=new.id, attempt=0, **values))
    return new


def _require_inputs(session: WriteSession, job: Job) -> None:
    """See that what a job reads is there still.

    Raises:
        InputGone: It is not.
    """
    if any(name in job.spec and id_ is None for name, id_ in (("model", job.model_id), ("dataset", job.dataset_id))):
        raise InputGone(job.id)
    try:
        require_teachers(session, job.team_id, [job.spec])
    except NotFound as error:
        raise InputGone(job.id) from error


def pin_job(session: WriteSession, team_id: str, job_id: str, *, pinned: bool) -> Job:
    """Keep a job's checkpoints and files from retention, or no longer. Asking again changes nothing.

    No event tells of it: a job's last event is the one that it ended with.

    Raises:
        NotFound: The team has no such job.
    """
    session.execute(
        update(Job)
        .where(Job.team_id == team_id, Job.id == job_id, Job.pinned.is_not(pinned))
        .values(pinned=pinned, version=Job.version + 1, updated_at=db_now())
        .execution_options(synchronize_session=False)
    )
    return get_job(session, team_id, job_id)


def _lock(session: WriteSession, team_id: str, job_id: str) -> JobStatus:
    """The job's status, which stays as it is until the transaction ends."""
    status = session.scalar(select(Job.status).where(Job.team_id == team_id, Job.id == job_id).with_for_update())
    if status is None:
        raise NotFound("job", job_id)
    return status
