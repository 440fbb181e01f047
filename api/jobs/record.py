"""Routes of what a job leaves behind: attempts, logs, events, metrics, masks, files."""

from collections.abc import Sequence
from functools import partial
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.sse import EventSourceResponse
from starlette.concurrency import run_in_threadpool

from api.archive import Archive
from api.auth import Reader
from api.bodies import Words, is_storable
from api.conditional import Content, content_response, file_response
from api.contract import file_of, problems_of
from api.dependencies import Here
from api.ids import JobId
from api.jobs import service
from api.jobs import stream as streams
from api.jobs.schemas import (
    ArtifactsView,
    ArtifactView,
    AttemptsView,
    EventView,
    LogsView,
    MasksView,
    MetricsView,
    attempt_view,
    event_view,
    log_view,
    metrics_view,
)
from api.problems import Missing
from store import (
    Artifact,
    FilesExpired,
    NotFound,
    ReadSession,
    attempts_of,
    get_artifact,
    get_job,
    list_artifacts,
    logs_of,
    metrics_of,
)

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])


@router.get("/{job_id}/attempts", summary="Who worked on a job")
def get_attempts(here: Here, caller: Reader, job_id: JobId) -> AttemptsView:
    """The job's attempts, oldest first: which worker, when, and how each ended."""
    with here.database.read() as session:
        return AttemptsView(data=[attempt_view(each) for each in attempts_of(session, caller.team_id, job_id)])


@router.get("/{job_id}/logs", summary="What a job's trainer printed")
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


@router.get(
    "/{job_id}/events",
    response_model=list[EventView],
    responses={
        200: {"content": {EventSourceResponse.media_type: {"schema": {"type": "string"}}}},
        204: {
            "description": "The stream had ended when the client last heard of it: there is nothing to come back for."
        },
    },
    summary="What happened to a job",
)
async def get_events(
    here: Here,
    caller: Reader,
    job_id: JobId,
    *,
    request: Request,
    response: Response,
    after: Annotated[int, Query(ge=0, lt=2**31, description="Only events with a larger `seq`.")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000, description="Of the list; a stream has no limit.")] = 1000,
    last_event_id: Annotated[
        str | None,
        Header(
            pattern=rf"^(\d{{1,9}}|{streams.END})$", description="Of a stream: the last id heard; replaces `after`."
        ),
    ] = None,
) -> list[EventView] | Response:
    """The job's events, oldest first: a list, or with `Accept: text/event-stream` each as it happens, until the end.

    Streamed events have their `seq` as id; between them `progress` tells how far the job is, and `end` comes last.
    """
    if EventSourceResponse.media_type not in request.headers.get("accept", "").lower():
        response.headers["Vary"] = "Accept"
        found = await run_in_threadpool(service.events, here, caller, job_id, after, limit)
        return [event_view(event) for event in found]
    await here.looks.at(caller.team_id, job_id)  # a 404 is an answer, not an event
    if last_event_id == streams.END:
        return Response(status_code=204)
    heard = int(last_event_id) if last_event_id else after
    return EventSourceResponse(streams.stream(here.watch, job_id, heard, caller.key_id), headers=streams.HEADERS)


@router.get("/{job_id}/metrics", summary="What a job measured")
def get_metrics(
    here: Here,
    caller: Reader,
    job_id: JobId,
    name: Annotated[Words | None, Query(max_length=300)] = None,
    max_points: Annotated[int, Query(ge=2, le=100_000, description="Thin each series evenly to this many.")] = 1000,
) -> MetricsView:
    """The job's series by name, each in the order of its steps."""
    with here.database.read() as session:
        return metrics_view(metrics_of(session, caller.team_id, job_id, name=name, max_points=max_points))


@router.get("/{job_id}/masks", responses=problems_of(410), summary="What a job kept, layer by layer")
def get_masks(
    here: Here,
    caller: Reader,
    job_id: JobId,
    layer: Annotated[str | None, Query(max_length=500, description="Adds a picture of this layer.")] = None,
    side: Annotated[int, Query(ge=1, le=256, description="Most cells along a side of the picture.")] = 64,
) -> MasksView:
    """The per-layer table; with `layer`, the density of that layer's parts, unless the files have expired."""
    return service.masks(here, caller, job_id, layer, side)


@router.get("/{job_id}/artifacts", summary="What a job produced")
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


def _files_of(session: ReadSession, team_id: str, job_id: str) -> Sequence[Artifact]:
    """A job's files, one at least; who asks for those of a job that has none is told why."""
    files = list_artifacts(session, team_id, job_id)
    if not files:
        job = get_job(session, team_id, job_id)
        if job.files_expired_at is not None:
            raise FilesExpired(job_id, job.files_expired_at)
        raise Missing(f"Job {job_id} is {job.status}, and has no files: a job leaves them when it succeeds.")
    return files


@router.head("/{job_id}/archive", include_in_schema=False)
@router.get(
    "/{job_id}/archive",
    responses={200: file_of("application/x-tar"), **problems_of(410, 416)},
    response_class=Response,
    summary="Download all files",
)
def archive(here: Here, caller: Reader, job_id: JobId, request: Request) -> Response:
    """Stream all files of the job as one tar archive; ranges and conditions as with single files."""
    with here.database.read() as session:
        files = _files_of(session, caller.team_id, job_id)
    found = Archive(job_id, files)
    content = Content(found.etag, found.length, "application/x-tar", partial(found.body, here.blobs))
    headers = {
        "Cache-Control": "private, no-cache",
        "Content-Disposition": f'attachment; filename="{job_id}.tar"',
    }
    return content_response(request, content, headers)


@router.head("/{job_id}/artifacts/{name:path}", include_in_schema=False)
@router.get(
    "/{job_id}/artifacts/{name:path}",
    responses={200: file_of("*/*"), **problems_of(410, 416)},
    response_class=Response,
    summary="Download a file",
)
def download(here: Here, caller: Reader, job_id: JobId, name: str, request: Request) -> Response:
    """Stream one file. The ETag is its sha256; ranges are honoured, and `If-None-Match` answers 304."""
    if not is_storable(name):
        raise Missing("There is no such file. GET the job's artifacts for what there is.")
    with here.database.read() as session:
        try:
            artifact = get_artifact(session, caller.team_id, job_id, name)
        except NotFound:
            _files_of(session, caller.team_id, job_id)  # says why where there is none at all
            raise
    return file_response(request, here.blobs, artifact)
