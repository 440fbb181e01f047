"""Has the models and datasets that a sweep's jobs name elsewhere taken in, before any job is checked against them."""

from typing import Annotated, cast

from fastapi import Depends, Request

from api.bodies import JsonBody
from api.dependencies import Here
from api.jobs.sources import Asking, fetched_for
from api.sources.fetches import Fetched
from api.sweeps.grid import points_of, read_sweep, spec_at
from store import JsonObject, JsonValue


async def fetched_sources(request: Request, here: Here, asking: Asking, body: JsonBody) -> Fetched:
    """The sources of all jobs of the request's sweep.

    Raises:
        Invalid: It is no sweep.
        Fetching: Some are still on their way.
        Unavailable: The hub does not answer.
    """
    asked = read_sweep(body.document)
    base, grid = cast(JsonObject, asked.base), cast(dict[str, list[JsonValue]], asked.grid)
    return await fetched_for(request, here, asking, [spec_at(base, point) for point in points_of(grid)])


Sources = Annotated[Fetched, Depends(fetched_sources)]
