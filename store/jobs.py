"""Reads jobs: one by its id, many by page; and who worked on one."""

from collections.abc import Collection, Sequence

from sqlalchemy import ColumnElement, or_, select

from store.engine import ReadSession
from store.errors import NotFound
from store.pages import Page, Sort, page_of
from store.states import JobStatus
from store.tables import Attempt, Dataset, Job, Model
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
    statuses: Collection[JobStatus] = (),
    method: str | None = None,
    tags: Collection[tuple[str, str]] = (),
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
        statuses: Only those in one of these states; none is any.
        method: Only those of this method.
        tags: Only those with all of these keys and values.
        q: Only those with this in their name or id, or in the name or address of their model or dataset, whatever the
            case.
        pinned: Only those that are pinned, or only those that are not.
        sort: Newest first unless told otherwise.
        limit: How many at most.
        cursor: The `next_cursor` of the page before.

    Raises:
        InvalidCursor: The cursor is not one that this listing gave out.
    """
    rows = select(Job).where(Job.team_id == team_id)
    if statuses:
        rows = rows.where(Job.status.in_(sorted(set(statuses))))
    if method is not None:
        rows = rows.where(Job.method == method)
    for key, value in tags:
        rows = rows.where(has_tag(Job.tags, key, value))
    if q is not None:
        rows = rows.where(_mentions(team_id, q))
    if pinned is not None:
        rows = rows.where(Job.pinned.is_(pinned))
    filters = [sorted(set(statuses)), method, sorted(set(tags)), q, pinned]
    return page_of(session, rows, Job, sort=sort, filters=filters, limit=limit, cursor=cursor)


def _mentions(team_id: str, q: str) -> ColumnElement[bool]:
    """True for jobs that hold a text where people look for it; the names of inputs are read once, not once a job."""
    models = select(Model.id).where(Model.team_id == team_id, Model.name.icontains(q, autoescape=True))
    datasets = select(Dataset.id).where(Dataset.team_id == team_id, Dataset.name.icontains(q, autoescape=True))
    return or_(
        Job.name.icontains(q, autoescape=True),
        Job.id.icontains(q, autoescape=True),
        Job.model_id.in_(models),
        Job.dataset_id.in_(datasets),
        Job.spec["model"].as_string().icontains(q, autoescape=True),
        Job.spec["dataset"].as_string().icontains(q, autoescape=True),
    )


def attempts_of(session: ReadSession, team_id: str, job_id: str) -> Sequence[Attempt]:
    """Return a job's attempts, oldest first.

    Raises:
        NotFound: The team has no such job.
    """
    get_job(session, team_id, job_id)
    return session.scalars(select(Attempt).where(Attempt.job_id == job_id).order_by(Attempt.number)).all()
