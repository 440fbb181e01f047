"""Has the models and datasets that a sweep's jobs name elsewhere taken in, before any job is checked against them."""

from typing import Annotated, cast

from fastapi import Depends, Request
from starlette.concurrency import run_in_threadpool

from api.bodies import Body, JsonBody
from api.dependencies import Here, Services
from api.jobs.headers import IdempotencyKey
from api.jobs.sources import Asking, fetched_for
from api.sources.fetches import NOTHING, Fetched
from api.sweeps.grid import points_of, read_sweep, spec_at
from store import JsonObject, JsonValue, Principal, first_sweep


async def fetched_sources(
    request: Request, here: Here, asking: Asking, body: JsonBody, idempotency_key: IdempotencyKey = None
) -> Fetched:
    """The sources of all jobs of the request's sweep; none where the request was answered before.

    Raises:
        IdempotencyConflict: The key was used for another request.
        Invalid: It is no sweep.
        Fetching: Some are still on their way.
        Unavailable: The hub does not answer.
    """
    if idempotency_key is not None and await run_in_threadpool(_was_answered, here, asking, body, idempotency_key):
        return NOTHING
    asked = read_sweep(body)
    base, grid = cast(JsonObject, asked.base), cast(dict[str, list[JsonValue]], asked.grid)
    return await fetched_for(request, here, asking, [spec_at(base, point) for point in points_of(grid)])


Sources = Annotated[Fetched, Depends(fetched_sources)]


def _was_answered(here: Services, asking: Principal, body: Body, idempotency_key: str) -> bool:
    with here.database.read() as session:
        return first_sweep(session, asking.team_id, idempotency_key, body.sha256) is not None
