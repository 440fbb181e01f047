"""Reads jobs: one by its id, many by page; and who worked on one."""

from collections.abc import Sequence

from sqlalchemy import or_, select

from store.engine import ReadSession
from store.errors import NotFound
from store.pages import Page, Sort, page_of
from store.states import JobStatus
from store.tables import Attempt, Job
from store.tags import has_tag


def get_job(session: ReadSession, team_id: str, job_id: str) -> Job:
    """Return a team's job as it is now.

    Raises:
        NotFound: The team has no such job.
    """
    # populate_existing: transitions are UPDATE statements, of which a row loaded earlier in the session knows nothing
    job = session.scalar(
        select(Job).where(Job.team_id == team_id, Job.id == job_id).execution_options(populate_existing=True)
    )
    if job is None:
        raise NotFound("job", job_id)
    return job


def list_jobs(
    session: ReadSession,
    team_id: str,
    *,
    status: JobStatus | None = None,
    method: str | None = None,
    tag: tuple[str, str] | None = None,
    q: str | None = None,
    pinned: bool | None = None,
    sort: Sort = "-created_at",
    limit: int = 50,
    cursor: str | None = None,
) -> Page[Job]:
    """Return a page of a team's jobs.

    Args:
        session: Where to read.
        team_id: Whose jobs.
        status: Only those in this state.
        method: Only those of this method.
        tag: Only those with this key and value.
        q: Only those whose name or id contains this, whatever the case.
        pinned: Only those that are pinned, or only those that are not.
        sort: Newest first unless told otherwise.
        limit: How many at most.
        cursor: The `next_cursor` of the page before.

    Raises:
        InvalidCursor: The cursor is not one that this listing gave out.
    """
    rows = select(Job).where(Job.team_id == team_id)
    if status is not None:
        rows = rows.where(Job.status == status)
    if method is not None:
        rows = rows.where(Job.method == method)
    if tag is not None:
        rows = rows.where(has_tag(Job.tags, *tag))
    if q is not None:
        rows = rows.where(or_(Job.name.icontains(q, autoescape=True), Job.id.icontains(q, autoescape=True)))
    if pinned is not None:
        rows = rows.where(Job.pinned.is_(pinned))
    return page_of(session, rows, Job, sort=sort, limit=limit, cursor=cursor)


def attempts_of(session: ReadSession, team_id: str, job_id: str) -> Sequence[Attempt]:
    """Return a job's attempts, oldest first.

    Raises:
        NotFound: The team has no such job.
    """
    get_job(session, team_id, job_id)
    return session.scalars(select(Attempt).where(Attempt.job_id == job_id).order_by(Attempt.number)).all()
