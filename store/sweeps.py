"""Sweeps: many jobs submitted at once, all or none, and looked at together."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Select, delete, select

from store.documents import JsonObject, JsonValue
from store.engine import ReadSession, WriteSession
from store.errors import NotFound, SweepRefused
from store.ids import new_id
from store.isolation import ACROSS_TEAMS
from store.jobs import get_job
from store.pages import Page, page_of
from store.requests import request_cancel
from store.states import TERMINAL, JobStatus
from store.submission import NewJob, first_answer, insert_jobs, keep_to_limit, take_key
from store.tables import Job, Sweep


@dataclass(frozen=True, slots=True)
class NewSweep:
    """A sweep, ready to be stored: its name, the spec that its jobs share, and the values of the fields that vary."""

    name: str | None
    base: JsonObject
    grid: Mapping[str, Sequence[JsonValue]]


def create_sweep(
    session: WriteSession,
    team_id: str,
    new: NewSweep,
    jobs: Sequence[NewJob],
    *,
    idempotency_key: str | None = None,
    body_sha256: str = "",
    max_queued: int | None = None,
) -> Sweep:
    """Queue the jobs of a sweep, or return the sweep that the same request made before.

    Args:
        session: Committed by its owner; ring the queue after that.
        team_id: Whose sweep.
        new: The sweep.
        jobs: One for each point of its grid, in order.
        idempotency_key: The client's key, if it sent one; good for 24 hours, while the first job is there.
        body_sha256: The digest of the request's body, which tells a repeated request from another.
        max_queued: The limit of waiting jobs of a team without one of its own; None is no limit.

    Raises:
        IdempotencyConflict: The key was used for another request.
        QueueFull: The team may not have so many waiting jobs.
    """
    ids = [new_id("job") for _ in jobs]
    if idempotency_key is not None:
        first = take_key(session, team_id, idempotency_key, _digest(body_sha256), ids[0])
        if first != ids[0]:
            return get_sweep(session, team_id, get_job(session, team_id, first).sweep_id or "")
    keep_to_limit(session, team_id, max_queued, len(jobs))
    axes = [[field, values] for field, values in new.grid.items()]
    sweep = Sweep(id=new_id("swp"), team_id=team_id, name=new.name, base=new.base, axes=axes)
    session.add(sweep)
    session.flush()
    points = (replace(job, sweep_id=sweep.id, sweep_position=position) for position, job in enumerate(jobs))
    insert_jobs(session, team_id, dict(zip(ids, points, strict=True)))
    return sweep


def first_sweep(session: ReadSession, team_id: str, key: str | None, body_sha256: str) -> Sweep | None:
    """Return the sweep that the same request with the same key has made, if it has.

    Raises:
        IdempotencyConflict: The key was used for another request.
    """
    job = first_answer(session, team_id, key, _digest(body_sha256))
    return None if job is None else get_sweep(session, team_id, job.sweep_id or "")


def _digest(body_sha256: str) -> str:
    """What a key is taken for: a sweep's request, which is none of a job's."""
    return f"sweep {body_sha256}"


def get_sweep(session: ReadSession, team_id: str, sweep_id: str) -> Sweep:
    """Return a team's sweep.

    Raises:
        NotFound: The team has no such sweep.
    """
    sweep = session.scalar(select(Sweep).where(Sweep.team_id == team_id, Sweep.id == sweep_id))
    if sweep is None:
        raise NotFound("sweep", sweep_id)
    return sweep


def list_sweeps(session: ReadSession, team_id: str, *, limit: int = 50, cursor: str | None = None) -> Page[Sweep]:
    """Return a page of a team's sweeps, newest first.

    Raises:
        InvalidCursor: The cursor is not one that this listing gave out.
    """
    return page_of(session, select(Sweep).where(Sweep.team_id == team_id), Sweep, limit=limit, cursor=cursor)


def jobs_of_sweep(session: ReadSession, team_id: str, sweep_id: str) -> Sequence[Job]:
    """Return the jobs of a sweep in the order of its grid; of a point that was tried again, the last.

    Raises:
        NotFound: The team has no such sweep.
    """
    get_sweep(session, team_id, sweep_id)
    rows = _of(sweep_id, select(Job)).order_by(Job.sweep_position, Job.id)
    found = session.scalars(rows.execution_options(populate_existing=True))
    return list({job.sweep_position: job for job in found}.values())


def statuses_of_sweeps(
    session: ReadSession, team_id: str, sweep_ids: Collection[str]
) -> Mapping[str, Sequence[JobStatus]]:
    """Return the states of the jobs of some of a team's sweeps, as `jobs_of_sweep` would find them."""
    columns = (Job.sweep_id, Job.sweep_position, Job.status)
    # Which of them are the team's is told by the few sweeps: SQLite would look for the team's jobs among all it has.
    theirs = select(Sweep.id).where(Sweep.team_id == team_id, Sweep.id.in_(sweep_ids))
    rows = select(*columns).where(Job.sweep_id.in_(theirs)).order_by(Job.sweep_id, Job.sweep_position, Job.id)
    rows = rows.execution_options(**ACROSS_TEAMS)
    latest = {(row.sweep_id, row.sweep_position): row.status for row in session.execute(rows)}
    return {id_: [status for (of, _), status in latest.items() if of == id_] for id_ in sweep_ids}


def cancel_sweep(session: WriteSession, team_id: str, sweep_id: str) -> None:
    """Cancel the jobs of a sweep that have not ended, as `request_cancel` does each.

    Raises:
        NotFound: The team has no such sweep.
        SweepRefused: All have ended.
    """
    unfinished = _unfinished(session, team_id, sweep_id)
    if not unfinished:
        raise SweepRefused(sweep_id, "be cancelled", "all its jobs have ended")
    for job_id in unfinished:
        request_cancel(session, team_id, job_id)


def jobs_to_delete(session: ReadSession, team_id: str, sweep_id: str) -> Sequence[str]:
    """Return all jobs of a sweep that is to be deleted, those that were tried again among them.

    They are deleted one by one: the files of a hundred jobs are so many bytes that nobody else could write for minutes.

    Raises:
        NotFound: The team has no such sweep.
        SweepRefused: Some have not ended.
    """
    if unfinished := _unfinished(session, team_id, sweep_id):
        raise SweepRefused(
            sweep_id, "be deleted", f"{len(unfinished)} of its jobs have not ended; cancel it, and wait for its end"
        )
    return session.scalars(_of(sweep_id, select(Job.id)).order_by(Job.id)).all()


def delete_sweep(session: WriteSession, team_id: str, sweep_id: str) -> None:
    """Delete a sweep whose jobs are deleted.

    Raises:
        SweepRefused: There are jobs again.
    """
    session.scalar(select(Sweep.id).where(Sweep.team_id == team_id, Sweep.id == sweep_id).with_for_update())
    if jobs_to_delete(session, team_id, sweep_id):
        raise SweepRefused(sweep_id, "be deleted", "a job of it was tried again meanwhile; delete it again")
    mine = (Sweep.team_id == team_id, Sweep.id == sweep_id)
    session.execute(delete(Sweep).where(*mine).execution_options(synchronize_session=False))


def _unfinished(session: ReadSession, team_id: str, sweep_id: str) -> Sequence[str]:
    get_sweep(session, team_id, sweep_id)
    return session.scalars(_of(sweep_id, select(Job.id)).where(Job.status.not_in(TERMINAL)).order_by(Job.id)).all()


def _of(sweep_id: str, jobs: Select[*tuple[Any, ...]]) -> Select[*tuple[Any, ...]]:
    """Those of a sweep, which has been asked for with its team."""
    return jobs.where(Job.sweep_id == sweep_id).execution_options(**ACROSS_TEAMS)
