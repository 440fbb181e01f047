"""Routes under /v1/jobs."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import BeforeValidator, StringConstraints

from api.auth import Reader, Submitter
from api.bodies import JsonBody, Words
from api.conditional import is_known, not_modified
from api.contract import json_body, problems_of
from api.dependencies import Here
from api.ids import JobId
from api.jobs import service
from api.jobs.headers import IdempotencyKey
from api.jobs.schemas import (
    JobView,
    job_view,
)
from api.jobs.sources import Sources, SourcesOnce
from api.jobs.spec import MAX_TAGS, JobSpec
from api.jobs.validation import ValidationView, validation_view
from api.looks import Sight
from api.paging import Cursor, Limit, Listing, listing
from store import (
    TERMINAL,
    JobStatus,
    Sort,
    list_jobs,
)

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

#: Longest `wait` of a long poll, in seconds: below what proxies allow an answer to take.
MAX_WAIT_S = 50

Text = Annotated[Words | None, Query(max_length=300)]


def _has_key(tag: object) -> object:
    if isinstance(tag, str) and ":" not in tag:
        raise ValueError("give it as key:value")
    return tag


# In this order: what comes after a validator is not in the OpenAPI.
Tag = Annotated[str, StringConstraints(pattern=r"^[^:\x00]{1,64}:[^\x00]*$", max_length=400), BeforeValidator(_has_key)]

Wait = Annotated[float, Query(ge=0, le=MAX_WAIT_S, description="Seconds to wait for a change before answering.")]

_SPEC = json_body(JobSpec)


# ── The first of all routes, which are tried in turn ─────────────────────────
# `api.jobs.direct` answers them in FastAPI's place.


async def get_one(
    here: Here,
    caller: Reader,
    job_id: JobId,
    *,
    request: Request,
    wait: Wait = 0,
) -> Response:
    """The job as it is now; with `If-None-Match`, 304 while nothing has changed.

    With `wait`, the answer comes as soon as something changes: from what `If-None-Match` names, or without it from
    now. A job that has ended is answered at once.
    """
    seen = await here.looks.at(caller.team_id, job_id)
    job = seen.job
    waits = wait > 0 and job.status not in TERMINAL and is_known(request, _etag(seen), if_absent=True)
    if waits and await here.watch.next(job_id, job.version, job.event_seq, wait, key_id=caller.key_id):
        seen = await here.looks.at(caller.team_id, job_id)
    headers = {"ETag": _etag(seen), "Cache-Control": "no-cache"}
    if is_known(request, headers["ETag"]):
        return not_modified(headers)
    if seen.shown is None:
        seen.shown = job_view(seen.job, seen.place).model_dump_json().encode()
    return Response(seen.shown, media_type="application/json", headers=headers)


router.add_api_route(
    "/{job_id}",
    get_one,
    methods=["GET"],
    summary="Look at a job",
    response_model=JobView,
)


@router.post(
    "",
    status_code=202,
    response_model=JobView,
    openapi_extra=_SPEC,
    responses=problems_of(429, 503),
    summary="Submit a job",
)
async def post(
    here: Here,
    caller: Submitter,
    body: JsonBody,
    *,
    sources: SourcesOnce,
    request: Request,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Check the spec whole, complete it and queue it.

    What is wrong is refused at once with every field named, and then nothing is stored. The answer does not wait for
    a worker, nor for the broker; for a model or dataset from elsewhere it waits some seconds, and then asks to be
    asked again (503).
    """
    accepted = await service.submit(here, caller, body, idempotency_key, sources, request=request)
    return Response(
        job_view(accepted.job, accepted.place).model_dump_json(),
        status_code=202,
        media_type="application/json",
        headers={"Location": f"/v1/jobs/{accepted.job.id}"},
    )


LOOK, SUBMIT = router.routes


# ── The others ───────────────────────────────────────────────────────────────


@router.post(
    ":validate",
    openapi_extra=_SPEC,
    responses=problems_of(503),
    summary="Check a spec without submitting",
)
def validate(here: Here, caller: Reader, body: JsonBody, sources: Sources) -> ValidationView:
    """The same checks as a submit, and no job: the resolved spec, its steps, schedule, memory and warnings."""
    return validation_view(service.validate(here, caller, body, sources))


@router.get("", summary="List jobs")
def get_list(
    here: Here,
    caller: Reader,
    *,
    status: Annotated[tuple[JobStatus, ...], Query(description="Given several times: any of these states.")] = (),
    method: Text = None,
    tag: Annotated[
        tuple[Tag, ...], Query(max_length=MAX_TAGS, description="`key:value`; given several times: all of these tags.")
    ] = (),
    q: Text = None,
    pinned: bool | None = None,
    sort: Sort = "-created_at",
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Listing[JobView]:
    """The team's jobs; `q` looks in names and ids, and in those of the model and the dataset.

    Jobs without a value of what they are sorted by come last in both directions.
    """
    with here.database.read() as session:
        page = list_jobs(
            session,
            caller.team_id,
            statuses=status,
            method=method,
            tags=[(key, value) for key, _, value in (each.partition(":") for each in tag)],
            q=q,
            pinned=pinned,
            sort=sort,
            limit=limit,
            cursor=cursor,
        )
    return listing(page, job_view)


@router.post("/{job_id}/cancel", status_code=202, responses=problems_of(409), summary="Cancel a job")
def cancel(here: Here, caller: Submitter, job_id: JobId) -> JobView:
    """Ask for the job's end. A waiting job is cancelled at once, a running one as soon as its worker hears of it."""
    return job_view(service.cancel(here, caller, job_id))


@router.post("/{job_id}/pause", status_code=202, responses=problems_of(409), summary="Pause a job")
def pause(here: Here, caller: Submitter, job_id: JobId) -> JobView:
    """Let go of the worker. A running job saves a checkpoint first and is `pausing` until that is done."""
    return job_view(service.pause(here, caller, job_id))


@router.post("/{job_id}/resume", status_code=202, responses=problems_of(409), summary="Resume a paused job")
def resume(here: Here, caller: Submitter, job_id: JobId) -> JobView:
    """Queue the job again; it goes on from its checkpoint."""
    job = service.resume(here, caller, job_id)
    return job_view(job, service.place(here, job))


@router.post("/{job_id}/retry", status_code=202, responses=problems_of(409, 429), summary="Try a job again")
def retry(
    here: Here, caller: Submitter, job_id: JobId, response: Response, idempotency_key: IdempotencyKey = None
) -> JobView:
    """Queue a copy of a job that failed or was cancelled.

    The answer is the new job, whose `retry_of` is the old one. It goes on from the checkpoint of a job that failed.
    """
    job = service.retry(here, caller, job_id, idempotency_key)
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    return job_view(job, service.place(here, job))


@router.delete(
    "/{job_id}", status_code=204, response_class=Response, responses=problems_of(409), summary="Delete a job"
)
def delete(here: Here, caller: Submitter, job_id: JobId) -> None:
    """Remove a job that has ended, and all it left behind: figures, events, logs, checkpoints, files."""
    service.delete(here, caller, job_id)


@router.post("/{job_id}/pin", summary="Keep a job's files")
def pin(here: Here, caller: Submitter, job_id: JobId) -> JobView:
    """Keep the job's checkpoints and files from retention. Files that are gone already do not come back."""
    job = service.pin(here, caller, job_id, pinned=True)
    return job_view(job, service.place(here, job))


@router.post("/{job_id}/unpin", summary="Let a job's files expire")
def unpin(here: Here, caller: Submitter, job_id: JobId) -> JobView:
    """Leave the job's checkpoints and files to retention again."""
    job = service.pin(here, caller, job_id, pinned=False)
    return job_view(job, service.place(here, job))


def _etag(seen: Sight) -> str:
    # A place changes with what other jobs do, of which the job's version knows nothing.
    standing = f".{seen.place.position}.{seen.place.eta_s}" if seen.place else ""
    return f'"{seen.job.id}.{seen.job.version}{standing}"'
