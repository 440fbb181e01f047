"""Cancels jobs on request."""

from sqlalchemy import select

from store.engine import WriteSession
from store.errors import NotFound, TransitionRefused
from store.jobs import get_job
from store.states import TERMINAL, JobStatus
from store.tables import Job
from store.transitions import move


def request_cancel(session: WriteSession, team_id: str, job_id: str) -> Job:
    """Cancel a job: at once if nobody works on it, else by asking its worker. Asking again changes nothing.

    Raises:
        NotFound: The team has no such job.
        TransitionRefused: The job has already ended.
    """
    status = session.scalar(select(Job.status).where(Job.team_id == team_id, Job.id == job_id).with_for_update())
    if status is None:
        raise NotFound("job", job_id)
    if status in TERMINAL:
        raise TransitionRefused(job_id, "be cancelled", status)
    if status in (JobStatus.QUEUED, JobStatus.PAUSED):
        move(session, job_id, JobStatus.CANCELLED, from_=(status,), event="cancelled")
    elif status is not JobStatus.CANCELLING:
        move(session, job_id, JobStatus.CANCELLING, from_=(status,), event="cancel_requested")
    return get_job(session, team_id, job_id)
