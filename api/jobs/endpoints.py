"""Routes under /v1/jobs."""

from typing import Annotated, Literal
from urllib.parse import quote

from fastapi import APIRouter, Header, Query, Request, Response

from api import documentation
from api.auth import Reader, Submitter
from api.bodies import JsonBody, Words, is_storable
from api.conditional import file_response, is_known, not_modified
from api.dependencies import Here
from api.documentation import problems_of
from api.ids import JobId
from api.jobs import service
from api.jobs.schemas import (
    ArtifactsView,
    ArtifactView,
    AttemptsView,
    EventView,
    JobView,
    LogsView,
    MasksView,
    MetricsView,
    attempt_view,
    event_view,
    job_view,
    log_view,
    metrics_view,
)
from api.jobs.spec import JobSpec
from api.jobs.validation import ValidationView, validation_view
from api.paging import Cursor, Limit, Listing, listing
from api.problems import Missing
from store import (
    JobStatus,
    attempts_of,
    events_after,
    get_artifact,
    get_job,
    list_artifacts,
    list_jobs,
    logs_of,
    metrics_of,
)

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], responses=problems_of(401, 403, 422))

Text = Annotated[Words | None, Query(max_length=300)]

_SPEC = documentation.json_body(
    JobSpec,
    {"model": "upload://mdl_…", "dataset": "upload://ds_…", "method": "movement", "target_sparsity": 0.9},
)


@router.post(
    "",
    status_code=202,
    openapi_extra=_SPEC,
    responses=problems_of(400, 413, 415, 422, 429, 503),
    summary="Submit a job",
)
def post(
    here: Here,
    caller: Submitter,
    body: JsonBody,
    response: Response,
    idempotency_key: Annotated[
        str | None,
        Header(min_length=1, max_length=255, description="Sending the same key and body again answers the first job."),
    ] = None,
) -> JobView:
    """Check the spec whole, complete it and queue it.

    What is wrong is refused at once with every field named, and then nothing is stored. The answer does not wait for
    a worker, nor for the broker.
    """
    job = service.submit(here, caller, body, idempotency_key)
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    return job_view(job, service.place(here, job))


@router.post(
    ":validate",
    openapi_extra=_SPEC,
    responses=problems_of(400, 413, 415, 422),
    summary="Check a spec without submitting",
)
def validate(here: Here, caller: Reader, body: JsonBody) -> ValidationView:
    """The same checks as a submit, and no job: the resolved spec, its steps, schedule, memory and warnings."""
    return validation_view(service.validate(here, caller, body))


@router.get("", responses=problems_of(422), summary="List jobs")
def get_list(
    here: Here,
    caller: Reader,
    *,
    status: JobStatus | None = None,
    method: Text = None,
    tag: Annotated[
        Words | None,
        Query(pattern=r"^[^:]{1,64}:", max_length=400, description="`key:value`"),
    ] = None,
    q: Text = None,
    pinned: bool | None = None,
    sort: Literal["created_at", "-created_at"] = "-created_at",
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Listing[JobView]:
    """The team's jobs; `q` looks in names and ids."""
    key, _, value = (tag or "").partition(":")
    with here.database.read() as session:
        page = list_jobs(
            session,
            caller.team_id,
            status=status,
            method=method,
            tag=(key, value) if tag else None,
            q=q,
            pinned=pinned,
            sort=sort,
            limit=limit,
            cursor=cursor,
        )
    return listing(page, job_view)


@router.get("/{job_id}", responses=problems_of(404), summary="Look at a job", response_model=JobView)
def get_one(here: Here, caller: Reader, job_id: JobId, request: Request, response: Response) -> JobView | Response:
    """The job as it is now; with `If-None-Match`, 304 while nothing has changed."""
    with here.database.read() as session:
        job = get_job(session, caller.team_id, job_id)
    place = service.place(here, job)
    # A place changes with what other jobs do, of which the job's version knows nothing.
    standing = f".{place.position}.{place.eta_s}" if place else ""
    headers = {"ETag": f'"{job.id}.{job.version}{standing}"', "Cache-Control": "no-cache"}
    if is_known(request, headers["ETag"]):
        return not_modified(headers)
    response.headers.update(headers)
    return job_view(job, place)


@router.post("/{job_id}/cancel", status_code=202, responses=problems_of(404, 409), summary="Cancel a job")
def cancel(here: Here, caller: Submitter, job_id: JobId) -> JobView:
    """Ask for the job's end. A waiting job is cancelled at once, a running one as soon as its worker hears of it."""
    return job_view(service.cancel(here, caller, job_id))


@router.post("/{job_id}/pause", status_code=202, responses=problems_of(404, 409), summary="Pause a job")
def pause(here: Here, caller: Submitter, job_id: JobId) -> JobView:
    """Let go of the worker. A running job saves a checkpoint first and is `pausing` until that is done."""
    return job_view(service.pause(here, caller, job_id))


@router.post("/{job_id}/resume", status_code=202, responses=problems_of(404, 409), summary="Resume a paused job")
def resume(here: Here, caller: Submitter, job_id: JobId) -> JobView:
    """Queue the job again; it goes on from its checkpoint."""
    job = service.resume(here, caller, job_id)
    return job_view(job, service.place(here, job))


@router.post("/{job_id}/retry", status_code=202, responses=problems_of(404, 409), summary="Try a job again")
def retry(here: Here, caller: Submitter, job_id: JobId, response: Response) -> JobView:
    """Queue a copy of a job that failed or was cancelled.

    The answer is the new job, whose `retry_of` is the old one. It goes on from the checkpoint of a job that failed.
    """
    job = service.retry(here, caller, job_id)
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    return job_view(job, service.place(here, job))


@router.post("/{job_id}/pin", responses=problems_of(404), summary="Keep a job's files")
def pin(here: Here, caller: Submitter, job_id: JobId) -> JobView:
    """Keep the job's checkpoints and files from retention. Files that are gone already do not come back."""
    job = service.pin(here, caller, job_id, pinned=True)
    return job_view(job, service.place(here, job))


@router.post("/{job_id}/unpin", responses=problems_of(404), summary="Let a job's files expire")
def unpin(here: Here, caller: Submitter, job_id: JobId) -> JobView:
    """Leave the job's checkpoints and files to retention again."""
    job = service.pin(here, caller, job_id, pinned=False)
    return job_view(job, service.place(here, job))


@router.get("/{job_id}/attempts", responses=problems_of(404), summary="Who worked on a job")
def get_attempts(here: Here, caller: Reader, job_id: JobId) -> AttemptsView:
    """The job's attempts, oldest first: which worker, when, and how each ended."""
    with here.database.read() as session:
        return AttemptsView(data=[attempt_view(each) for each in attempts_of(session, caller.team_id, job_id)])


@router.get("/{job_id}/logs", responses=problems_of(404, 422), summary="What a job's trainer printed")
def get_logs(
    here: Here,
    caller: Reader,
    job_id: JobId,
    attempt: Annotated[int | None, Query(ge=1, lt=2**31, description="Only this attempt's.")] = None,
    tail: Annotated[int, Query(ge=1, le=100_000, description="Only so many of the last lines of each.")] = 1000,
) -> LogsView:
    """The end of what each attempt's trainer printed, oldest attempt first; while it runs, some seconds old."""
    with here.database.read() as session:
        return LogsView(data=[log_view(each, tail) for each in logs_of(session, caller.team_id, job_id, attempt)])


@router.get("/{job_id}/events", responses=problems_of(404, 422), summary="What happened to a job")
def get_events(
    here: Here,
    caller: Reader,
    job_id: JobId,
    after: Annotated[int, Query(ge=0, lt=2**31, description="Only events with a larger `seq`.")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 1000,
) -> list[EventView]:
    """The job's events, oldest first."""
    with here.database.read() as session:
        return [event_view(event) for event in events_after(session, caller.team_id, job_id, after, limit)]


@router.get("/{job_id}/metrics", responses=problems_of(404, 422), summary="What a job measured")
def get_metrics(
    here: Here,
    caller: Reader,
    job_id: JobId,
    name: Text = None,
    max_points: Annotated[int, Query(ge=2, le=100_000, description="Thin each series evenly to this many.")] = 1000,
) -> MetricsView:
    """The job's series by name, each in the order of its steps."""
    with here.database.read() as session:
        return metrics_view(metrics_of(session, caller.team_id, job_id, name=name, max_points=max_points))


@router.get("/{job_id}/masks", responses=problems_of(404, 410, 422), summary="What a job kept, layer by layer")
def get_masks(
    here: Here,
    caller: Reader,
    job_id: JobId,
    layer: Annotated[str | None, Query(max_length=500, description="Adds a picture of this layer.")] = None,
    side: Annotated[int, Query(ge=1, le=256, description="Most cells along a side of the picture.")] = 64,
) -> MasksView:
    """The per-layer table; with `layer`, the density of that layer's parts, unless the files have expired."""
    return service.masks(here, caller, job_id, layer, side)


@router.get("/{job_id}/artifacts", responses=problems_of(404), summary="What a job produced")
def get_artifacts(here: Here, caller: Reader, job_id: JobId) -> ArtifactsView:
    """The job's files; there are none before it has succeeded, and none when they have expired."""
    with here.database.read() as session:
        return ArtifactsView(
            data=[
                ArtifactView(
                    name=file.name,
                    kind=file.kind,
                    size=file.size,
                    sha256=file.sha256,
                    media_type=file.media_type,
                    url=f"/v1/jobs/{job_id}/artifacts/{quote(file.name)}",
                )
                for file in list_artifacts(session, caller.team_id, job_id)
            ]
        )


@router.head("/{job_id}/artifacts/{name:path}", include_in_schema=False)
@router.get(
    "/{job_id}/artifacts/{name:path}",
    responses={200: {"content": {"application/octet-stream": {}}}, **problems_of(404, 410, 416)},
    response_class=Response,
    summary="Download a file",
)
def download(here: Here, caller: Reader, job_id: JobId, name: str, request: Request) -> Response:
    """Stream one file. The ETag is its sha256; one `Range` is honoured, and `If-None-Match` answers 304."""
    if not is_storable(name):
        raise Missing("There is no such file. GET the job's artifacts for what there is.")
    with here.database.read() as session:
        artifact = get_artifact(session, caller.team_id, job_id, name)
    return file_response(request, here.blobs, artifact)
