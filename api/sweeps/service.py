"""Submits sweeps, all of their jobs or none, and looks at them."""

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from typing import cast

from sqlalchemy.exc import IntegrityError

from api.bodies import Body
from api.dependencies import Services
from api.jobs.resolve import Resolved, resolve
from api.jobs.service import new_job
from api.jobs.shelf import Shelf
from api.problems import FieldError, Invalid
from api.sources.fetches import NOTHING, Fetched
from api.sweeps.grid import faults_of, points_of, read_sweep, spec_at
from store import (
    Job,
    JobStatus,
    JsonObject,
    JsonValue,
    NewSweep,
    NotFound,
    Page,
    Principal,
    Sweep,
    cancel_sweep,
    create_sweep,
    delete_job,
    delete_sweep,
    first_sweep,
    get_sweep,
    jobs_of_sweep,
    jobs_to_delete,
    list_sweeps,
    statuses_of_sweeps,
)


def submit(
    here: Services, caller: Principal, body: Body, idempotency_key: str | None, sources: Fetched = NOTHING
) -> Sweep:
    """Check every job of a sweep, store all of them, and ring for workers once they are committed.

    The same request with the same key is answered as the first time, whatever has become of what it names.

    Raises:
        Invalid: The sweep, or any of its jobs, is wrong; nothing is stored.
        IdempotencyConflict: The key was used for another request.
        QueueFull: The team may not have so many waiting jobs; nothing is stored.
    """
    with here.database.read() as session:
        if first := first_sweep(session, caller.team_id, idempotency_key, body.sha256):
            return first
    new, resolved = _checked(here, caller, body, sources)
    try:
        with here.database.write() as session:
            sweep = create_sweep(
                session,
                caller.team_id,
                new,
                [new_job(each) for each in resolved],
                idempotency_key=idempotency_key,
                body_sha256=body.sha256,
                max_queued=here.settings.team_max_queued,
            )
            queues = {job.queue for job in jobs_of_sweep(session, caller.team_id, sweep.id)}
    except (IntegrityError, NotFound):  # a model, a dataset or a teacher was deleted while it was checked
        _checked(here, caller, body, sources)
        raise
    for queue in queues:
        here.bell.ring(queue)
    return sweep


def _checked(here: Services, caller: Principal, body: Body, sources: Fetched) -> tuple[NewSweep, list[Resolved]]:
    asked = read_sweep(body)
    base = cast(JsonObject, asked.base)
    grid = cast(dict[str, list[JsonValue]], asked.grid)
    resolved: list[Resolved] = []
    faults: dict[int, Sequence[FieldError]] = {}
    shelf = Shelf(here.blobs)
    with here.database.read() as session:
        for index, point in enumerate(points_of(grid)):
            try:
                resolved.append(resolve(lambda: session, caller.team_id, spec_at(base, point), shelf, sources))
            except Invalid as error:
                faults[index] = error.errors
    if faults:
        raise Invalid(faults_of(faults, grid), what="The sweep")
    return NewSweep(asked.name, base, grid), resolved


def look(here: Services, caller: Principal, sweep_id: str) -> tuple[Sweep, Sequence[Job]]:
    """A sweep and its jobs, in the order of its grid.

    Raises:
        NotFound: The team has no such sweep.
    """
    with here.database.read() as session:
        return get_sweep(session, caller.team_id, sweep_id), jobs_of_sweep(session, caller.team_id, sweep_id)


def etag(sweep: Sweep, jobs: Sequence[Job], form: str) -> str:
    """Changes when a job changes its state, comes or goes; not with every step. Each form of the answer has its own."""
    said = " ".join([form, *(f"{job.id}:{job.status}" for job in jobs)])
    return f'"{sweep.id}.{hashlib.sha256(said.encode()).hexdigest()[:16]}"'


def page(
    here: Services, caller: Principal, limit: int, cursor: str | None
) -> tuple[Page[Sweep], dict[str, Sequence[JobStatus]]]:
    """Some of the team's sweeps, newest first, and the states of their jobs."""
    with here.database.read() as session:
        found = list_sweeps(session, caller.team_id, limit=limit, cursor=cursor)
        return found, dict(statuses_of_sweeps(session, caller.team_id, [sweep.id for sweep in found.data]))


def cancel(here: Services, caller: Principal, sweep_id: str) -> None:
    """Cancel the jobs of a sweep that have not ended.

    Raises:
        NotFound: The team has no such sweep.
        SweepRefused: All have ended.
    """
    with here.database.write() as session:
        cancel_sweep(session, caller.team_id, sweep_id)


def delete(here: Services, caller: Principal, sweep_id: str) -> None:
    """Delete a sweep with its jobs, one after the other; after a crash, the rest is deleted by asking again.

    Raises:
        NotFound: The team has no such sweep.
        SweepRefused: Some of its jobs have not ended.
    """
    with here.database.read() as session:
        jobs = jobs_to_delete(session, caller.team_id, sweep_id)
    for job_id in jobs:
        # Who deletes the same sweep, or one of its jobs, at the same time may have been quicker.
        with suppress(NotFound), here.database.write() as session:
            delete_job(session, caller.team_id, job_id)
    with here.database.write() as session:
        delete_sweep(session, caller.team_id, sweep_id)
