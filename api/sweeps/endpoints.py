"""Routes under /v1/sweeps."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from api import tabular
from api.auth import Reader, Submitter
from api.bodies import JsonBody
from api.conditional import is_known, not_modified
from api.contract import json_body, problems_of
from api.dependencies import Here, Services
from api.ids import SweepId
from api.jobs.endpoints import MAX_WAIT_S, Wait
from api.jobs.headers import IdempotencyKey
from api.paging import Cursor, Limit, Listing, listing
from api.sweeps import service
from api.sweeps.grid import SweepSpec
from api.sweeps.schemas import SweepSummaryView, SweepView, summary_view, sweep_view, table_lines
from api.sweeps.sources import Sources
from store import TERMINAL, Job

router = APIRouter(prefix="/v1/sweeps", tags=["sweeps"])

_SWEEP = json_body(SweepSpec)


@router.post(
    "",
    status_code=202,
    openapi_extra=_SWEEP,
    responses=problems_of(429, 503),
    summary="Submit a sweep",
)
def post(
    here: Here,
    caller: Submitter,
    body: JsonBody,
    *,
    sources: Sources,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> SweepView:
    """Queue a job for every combination of the grid's values: all of them, or none where any is refused."""
    sweep = service.submit(here, caller, body, idempotency_key, sources)
    response.headers["Location"] = f"/v1/sweeps/{sweep.id}"
    return sweep_view(*service.look(here, caller, sweep.id))


@router.get("", summary="List sweeps")
def get_list(here: Here, caller: Reader, limit: Limit = 50, cursor: Cursor = None) -> Listing[SweepSummaryView]:
    """The team's sweeps, newest first."""
    page, statuses = service.page(here, caller, limit, cursor)
    return listing(page, lambda sweep: summary_view(sweep, statuses[sweep.id]))


@router.get(
    "/{sweep_id}",
    responses=tabular.RESPONSE,
    response_model=SweepView,
    summary="Look at a sweep",
)
async def get_one(
    here: Here, caller: Reader, sweep_id: SweepId, *, request: Request, response: Response, wait: Wait = 0
) -> SweepView | Response:
    """The sweep, its jobs and its table; with `Accept: text/csv` the table alone.

    The ETag changes when a job changes its state, not with every step. `wait` works as for a job.
    """
    sweep, jobs = await run_in_threadpool(service.look, here, caller, sweep_id)
    form = "csv" if tabular.is_wanted(request) else "json"
    known = service.etag(sweep, jobs, form)
    if wait > 0 and is_known(request, known, if_absent=True):
        with suppress(TimeoutError):
            async with asyncio.timeout(wait):
                while service.etag(sweep, jobs, form) == known and await _next_change(here, caller.key_id, jobs):
                    sweep, jobs = await run_in_threadpool(service.look, here, caller, sweep_id)
    headers = {"ETag": service.etag(sweep, jobs, form), "Cache-Control": "no-cache", "Vary": "Accept"}
    if is_known(request, headers["ETag"]):
        return not_modified(headers)
    view = sweep_view(sweep, jobs)
    if form == "csv":
        return tabular.csv_response(table_lines(view), sweep_id, headers)
    response.headers.update(headers)
    return view


@router.post("/{sweep_id}/cancel", status_code=202, responses=problems_of(409), summary="Cancel a sweep")
def cancel(here: Here, caller: Submitter, sweep_id: SweepId) -> SweepView:
    """Cancel those of its jobs that have not ended."""
    service.cancel(here, caller, sweep_id)
    return sweep_view(*service.look(here, caller, sweep_id))


@router.delete(
    "/{sweep_id}", status_code=204, response_class=Response, responses=problems_of(409), summary="Delete a sweep"
)
def delete(here: Here, caller: Submitter, sweep_id: SweepId) -> None:
    """Remove it with its jobs and all they left behind, when all have ended."""
    service.delete(here, caller, sweep_id)


async def _next_change(here: Services, key_id: str, jobs: Sequence[Job]) -> bool:
    """Wait until one of the jobs that have not ended changes in any way; False if there is nothing to wait for."""
    waits = [
        asyncio.ensure_future(here.watch.next(job.id, job.version, job.event_seq, MAX_WAIT_S, key_id=key_id))
        for job in jobs
        if job.status not in TERMINAL
    ]
    if not waits:
        return False
    try:
        ended, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for each in ended:
            each.result()  # raises where the key has ended
    finally:
        for each in waits:
            each.cancel()
    return not here.watch.stopped
