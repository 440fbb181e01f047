"""Submits jobs, passes on what is asked of them, and looks at what they left."""

from collections.abc import Sequence
from http import HTTPStatus

from fastapi import Request
from sqlalchemy.exc import IntegrityError
from starlette.concurrency import run_in_threadpool

from api.audit.trail import entry_of, was_audited
from api.bodies import Body
from api.dependencies import Services
from api.jobs.pictures import ARTIFACT, density_picture
from api.jobs.resolve import Resolved, resolve
from api.jobs.schemas import MasksView, PictureView, layer_view
from api.jobs.shelf import NotAtHand, Shelf, at_hand
from api.problems import FieldError, Invalid
from api.sources.fetches import NOTHING, Fetched
from api.submissions import Accepted, Submit
from store import (
    Event,
    Job,
    JobStatus,
    NewJob,
    NotFound,
    Place,
    Principal,
    Submission,
    delete_job,
    events_after,
    first_answer,
    get_artifact,
    layers_of,
    pin_job,
    place_of,
    request_cancel,
    request_pause,
    request_resume,
    retry_job,
)

#: A larger spec is checked beside the other requests, which would have to wait for it.
_MOMENTARY_BYTES = 16 * 1024


async def submit(
    here: Services,
    caller: Principal,
    body: Body,
    idempotency_key: str | None,
    sources: Fetched = NOTHING,
    *,
    request: Request,
) -> Accepted:
    """Check a spec whole, store the job, and ring for a worker once it is committed.

    The same request with the same key is answered as the first time, whatever has become of what it names.

    Raises:
        Invalid: The spec is wrong; nothing is stored.
        IdempotencyConflict: The key was used for another body.
        QueueFull: The team has as many waiting jobs as it may.
        Unavailable: The database is too busy; nothing is stored.
    """
    checked: Submission | Accepted | None = _check_at_once(here, caller, body, idempotency_key, sources)
    if checked is None:
        checked = await run_in_threadpool(_check, here, caller, body, idempotency_key, sources)
    if isinstance(checked, Accepted):
        return checked
    call = entry_of(request, HTTPStatus.ACCEPTED)
    assert call is not None, "whoever submits is audited"
    try:
        accepted = await here.submissions.store(Submit(caller.team_id, checked, call))
    except (IntegrityError, NotFound):
        # Its model, dataset or teacher was deleted: perhaps long ago, and is still on the shelf.
        here.shelf.clear()
        await run_in_threadpool(validate, here, caller, body, sources)
        raise
    was_audited(request)
    here.bell.ring(accepted.job.queue)
    return accepted


def _check_at_once(
    here: Services, caller: Principal, body: Body, idempotency_key: str | None, sources: Fetched
) -> Submission | None:
    """What `_check` finds, for small specs without a key whose inputs are on the shelf: a thread costs as much again.

    None where it takes more than a moment.
    """
    if idempotency_key is not None or body.size > _MOMENTARY_BYTES:
        return None
    try:
        return Submission(new_job(resolve(at_hand, caller.team_id, body.document, here.shelf, sources)))
    except NotAtHand:
        return None


def _check(
    here: Services, caller: Principal, body: Body, idempotency_key: str | None, sources: Fetched
) -> Submission | Accepted:
    """The job that a spec becomes; or the one that it became before."""
    with here.database.read() as session:
        if first := first_answer(session, caller.team_id, idempotency_key, body.sha256):
            return Accepted(first, place_of(session, first, here.settings.team_max_running))
        resolved = resolve(lambda: session, caller.team_id, body.document, here.shelf, sources)
    return Submission(new_job(resolved), idempotency_key, body.sha256)


def validate(here: Services, caller: Principal, body: Body, sources: Fetched = NOTHING) -> Resolved:
    """Check a spec whole, as `submit` does, and store nothing.

    Raises:
        Invalid: The spec is wrong.
    """
    with here.database.read() as session:
        return resolve(lambda: session, caller.team_id, body.document, Shelf(here.blobs), sources)


def new_job(resolved: Resolved) -> NewJob:
    """What a spec becomes in the store."""
    spec = resolved.spec
    return NewJob(
        method=spec.method,
        target_sparsity=spec.target_sparsity,
        spec=resolved.document,
        dataset_id=resolved.dataset.id,
        model_id=resolved.model.id,
        name=spec.name,
        tags=spec.tags,
        priority=spec.priority,
        warnings=resolved.warnings,
        total_steps=resolved.reported_steps,
        max_attempts=spec.limits.max_attempts,
        max_runtime_s=spec.limits.max_runtime_s,
        gpus=spec.training.gpus,
    )


def events(here: Services, caller: Principal, job_id: str, after: int, limit: int) -> Sequence[Event]:
    """A job's events with larger numbers than `after`, oldest first.

    Raises:
        NotFound: The team has no such job.
    """
    with here.database.read() as session:
        return events_after(session, caller.team_id, job_id, after, limit)


def cancel(here: Services, caller: Principal, job_id: str) -> Job:
    """Cancel a job: at once while it waits, else as soon as its worker has heard of it.

    Raises:
        NotFound: The team has no such job.
        TransitionRefused: It has ended already.
    """
    with here.database.write() as session:
        return request_cancel(session, caller.team_id, job_id)


def pause(here: Services, caller: Principal, job_id: str) -> Job:
    """Pause a job: at once while it waits, else when its worker has saved a checkpoint.

    Raises:
        NotFound: The team has no such job.
        TransitionRefused: It has ended, or is being cancelled.
    """
    with here.database.write() as session:
        return request_pause(session, caller.team_id, job_id)


def resume(here: Services, caller: Principal, job_id: str) -> Job:
    """Queue a paused job again, and ring for a worker.

    Raises:
        NotFound: The team has no such job.
        TransitionRefused: It is still pausing, or has ended.
    """
    with here.database.write() as session:
        job = request_resume(session, caller.team_id, job_id)
    here.bell.ring(job.queue)
    return job


def retry(here: Services, caller: Principal, job_id: str, idempotency_key: str | None) -> Job:
    """Queue a copy of a job that failed or was cancelled, and ring for a worker; return the new job.

    Raises:
        NotFound: The team has no such job.
        TransitionRefused: It has not ended, or has succeeded.
        IdempotencyConflict: The key was used for another request.
        QueueFull: The team has as many waiting jobs as it may.
    """
    with here.database.write() as session:
        job = retry_job(
            session,
            caller.team_id,
            job_id,
            idempotency_key=idempotency_key,
            max_queued=here.settings.team_max_queued,
        )
    here.bell.ring(job.queue)
    return job


def delete(here: Services, caller: Principal, job_id: str) -> None:
    """Delete a job that has ended.

    Raises:
        NotFound: The team has no such job.
        TransitionRefused: It has not ended.
    """
    with here.database.write() as session:
        delete_job(session, caller.team_id, job_id)


def pin(here: Services, caller: Principal, job_id: str, *, pinned: bool) -> Job:
    """Keep a job's checkpoints and files from retention, or no longer.

    Raises:
        NotFound: The team has no such job.
    """
    with here.database.write() as session:
        return pin_job(session, caller.team_id, job_id, pinned=pinned)


def place(here: Services, job: Job) -> Place | None:
    """Where a job stands in the line; None unless it waits."""
    if job.status is not JobStatus.QUEUED:
        return None
    with here.database.read() as session:
        return place_of(session, job, here.settings.team_max_running)


def masks(here: Services, caller: Principal, job_id: str, layer: str | None, side: int) -> MasksView:
    """The per-layer table, with a picture of one layer where one is asked for.

    Raises:
        NotFound: The team has no such job.
        Invalid: The job has no such layer.
        FilesExpired: The picture's file was removed by retention.
    """
    with here.database.read() as session:
        table = [layer_view(row) for row in layers_of(session, caller.team_id, job_id)]
        if layer is None:
            return MasksView(data=table)
        try:
            artifact = get_artifact(session, caller.team_id, job_id, ARTIFACT)
        except NotFound as error:
            raise Invalid([FieldError("/query/layer", "The job has no masks; they come when it succeeds.")]) from error
    picture = density_picture(here.blobs, artifact, layer, side)
    if picture is None:
        names = ", ".join(row.name for row in table[:3])
        raise Invalid([FieldError("/query/layer", f"There is no layer {layer!r}. Layers are {names} …")])
    return MasksView(data=table, picture=PictureView(layer=layer, density=picture))
