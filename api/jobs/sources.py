"""Has the models and datasets that a spec names elsewhere taken in, before the spec is checked against them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated

from fastapi import Depends, Request
from starlette.concurrency import run_in_threadpool

from api.audit.trail import will_be_audited
from api.auth import caller
from api.bodies import Body, JsonBody
from api.dependencies import Here, Services
from api.jobs.headers import IdempotencyKey
from api.jobs.reading import read_spec
from api.problems import ScopeMissing
from api.sources.fetches import NOTHING, Fetched, Stored
from api.sources.intake import take_in
from api.sources.uris import BadUri, External, FileSource, HubSource, Kind, parse
from store import JsonObject, Principal, Scope, first_answer

Asking = Annotated[Principal, Depends(caller)]


async def fetched_for(request: Request, here: Services, asking: Principal, specs: Sequence[JsonObject]) -> Fetched:
    """The sources of specs; none where one of them is wrong anyway: gigabytes may come for it.

    Raises:
        Fetching: Some are still on their way.
        Unavailable: The hub does not answer.
        ScopeMissing: The key may not store what they name.
    """
    named = {each: source for spec in specs for each, source in _named(spec)}
    if not named or any(read_spec(spec).errors for spec in specs):
        return NOTHING
    if not {Scope.SUBMIT, Scope.ADMIN} & set(asking.scopes):
        raise ScopeMissing(
            "Models and datasets from elsewhere are taken into the store, which needs a key with scope 'submit'. "
            "Validate with such a key, or name uploads."
        )
    will_be_audited(request, asking)  # also where a spec is only validated

    def work(kind: Kind, source: External) -> Stored:
        found = take_in(here, asking, kind, source)
        assert found.source is not None
        return Stored(found.id, found.source)

    return await here.fetches.fetch(asking.team_id, named, work)


async def fetched_sources(request: Request, here: Here, asking: Asking, body: JsonBody) -> Fetched:
    """The sources of the request's spec; raises as `fetched_for` does."""
    return await fetched_for(request, here, asking, [body.document])


async def fetched_once(
    request: Request, here: Here, asking: Asking, body: JsonBody, idempotency_key: IdempotencyKey = None
) -> Fetched:
    """The same, and none where the request was answered before.

    Raises:
        IdempotencyConflict: The key was used for another body.
    """
    if idempotency_key is not None and await run_in_threadpool(_was_answered, here, asking, body, idempotency_key):
        return NOTHING
    return await fetched_sources(request, here, asking, body)


Sources = Annotated[Fetched, Depends(fetched_sources)]
SourcesOnce = Annotated[Fetched, Depends(fetched_once)]


def _was_answered(here: Services, asking: Principal, body: Body, idempotency_key: str) -> bool:
    with here.database.read() as session:
        return first_answer(session, asking.team_id, idempotency_key, body.sha256) is not None


def _named(document: JsonObject) -> Iterator[tuple[tuple[Kind, str], External]]:
    assert isinstance(document, Mapping)
    distillation = document.get("distillation")
    teacher = distillation.get("teacher") if isinstance(distillation, Mapping) else None
    teacher = None if teacher == "self" else teacher
    for kind, uri in (
        (Kind.MODEL, document.get("model")),
        (Kind.DATASET, document.get("dataset")),
        (Kind.MODEL, teacher),
    ):
        if isinstance(uri, str) and (source := _external(kind, uri)):
            yield (kind, uri), source


def _external(kind: Kind, uri: str) -> External | None:
    try:
        found = parse(kind, uri)
    except BadUri:
        return None
    return found if isinstance(found, HubSource | FileSource) else None
