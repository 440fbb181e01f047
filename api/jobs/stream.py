"""A job's events as they happen, as server-sent events (WHATWG HTML, 9.2)."""

from collections.abc import AsyncIterator

from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event
from pydantic import BaseModel

from api.jobs.schemas import ProgressView, event_view, progress_view
from api.problems import Unauthenticated
from api.watch import Watch
from store import TERMINAL, JobStatus

#: Without anything to say, a comment after so many seconds keeps proxies from hanging up.
KEEP_ALIVE_S = 15.0
#: What a client sends as its last event when it has heard all.
END = "end"
#: After a broken connection clients come back within so many milliseconds.
_RETRY_MS = 2000

HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no", "Vary": "Accept"}


class MovedView(BaseModel):
    """Where a job stands: the data of `progress`."""

    status: JobStatus
    attempt: int
    progress: ProgressView


class EndView(BaseModel):
    """How a job ended: the data of `end`. `status` is null if it was deleted."""

    status: JobStatus | None


async def stream(watch: Watch, job_id: str, after: int, key_id: str) -> AsyncIterator[bytes]:
    """Every event of a job after a number, each as soon as it is there, until the job has ended.

    Events have their `seq` as id, so that a client that comes back with `Last-Event-ID` misses none and hears none
    twice. Between them `progress` tells how far the job is; it has no id. The last is `end`. When the key is revoked,
    the stream breaks off; the client comes back, and is refused. It also does when the process is
    to end.
    """
    yield format_sse_event(data_str=None, retry=_RETRY_MS)
    version = 0
    while not watch.stopped:
        try:
            change = await watch.next(job_id, version, after, KEEP_ALIVE_S, key_id=key_id)
        except Unauthenticated:
            return
        if change is None:
            yield KEEPALIVE_COMMENT
            continue
        job = change.job
        if job is None:
            yield _event(EndView(status=None), event=END, id=END)
            return
        version = job.version
        for event in change.events:
            after = event.seq
            yield _event(event_view(event), id=str(event.seq))
        moved = MovedView(status=job.status, attempt=job.attempt, progress=progress_view(job))
        yield _event(moved, event="progress")
        if job.status in TERMINAL:
            yield _event(EndView(status=job.status), event=END, id=END)
            return


def _event(data: BaseModel, *, event: str | None = None, id: str | None = None) -> bytes:  # SSE's name
    return format_sse_event(data_str=data.model_dump_json(), event=event, id=id)
