"""How exceptions become answers: one handler for each family, all of them problem+json."""

import errno
from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from sqlalchemy.exc import DBAPIError, ProgrammingError
from starlette.exceptions import HTTPException
from starlette.routing import Match

from api import problems
from api.bodies import compact
from api.problems import FieldError, Problem
from api.request_id import current
from store.engine import DATABASE_AWAY
from store.errors import (
    BlobAbandoned,
    DeliveryUnderWay,
    FilesExpired,
    IdempotencyConflict,
    InputGone,
    InUse,
    InvalidCursor,
    KeyOver,
    NotFound,
    OffsetMoved,
    QueueFull,
    QuotaExceeded,
    StoreError,
    SweepRefused,
    TooManyWebhooks,
    TransitionRefused,
    UrlTaken,
    WebhookDisabled,
    WrongServerSecret,
)
from store.key_text import hide_keys

log = structlog.get_logger(__name__)

_PROBLEMS: Mapping[type[StoreError], type[Problem]] = {
    NotFound: problems.Missing,
    FilesExpired: problems.Expired,
    TransitionRefused: problems.StateForbids,
    SweepRefused: problems.StateForbids,
    InUse: problems.StateForbids,
    InputGone: problems.StateForbids,
    KeyOver: problems.StateForbids,
    QueueFull: problems.LimitReached,
    QuotaExceeded: problems.TooLarge,
    TooManyWebhooks: problems.LimitReached,
    DeliveryUnderWay: problems.StateForbids,
    WebhookDisabled: problems.StateForbids,
    WrongServerSecret: problems.StateForbids,
    OffsetMoved: problems.StateForbids,
}
"""What a refusal of the store is to the outside, where its own words say all."""

_FIELDS: Mapping[type[StoreError], str] = {
    IdempotencyConflict: "/header/Idempotency-Key",
    InvalidCursor: "/query/cursor",
    UrlTaken: "/url",
}
"""Where in the request the fault lies."""

_METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")

#: Words that are not written with a capital letter alone.
_IN_HEADERS = {"id": "ID"}

Handler = Callable[[Request, Exception], Awaitable[Response]]


def internal() -> Problem:
    """What the outside hears of our own faults: nothing but how to report them."""
    return Problem(
        "Something went wrong on our side. Try again; if it stays, give the operator the request_id of this answer."
    )


def problem_response(problem: Problem, request: Request) -> Response:
    """The answer for a problem."""
    request_id = current.get()
    body = problems.document(problem, instance=request.url.path, request_id=request_id)
    return Response(
        hide_keys(body.model_dump_json(exclude_none=True)),  # whoever pasted a key into an address must not leak it so
        status_code=body.status,
        media_type=problems.MEDIA_TYPE,
        headers=problem.headers,
    )


async def _on_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return problem_response(error, request)


async def _on_store_error(request: Request, error: Exception) -> Response:
    return problem_response(_of_store(error), request)


def _of_store(error: Exception) -> Problem:
    """What a refusal of the store is to the outside."""
    if isinstance(error, StoreError) and (known := _PROBLEMS.get(type(error))):
        return known(str(error))
    match error:
        case IdempotencyConflict() | InvalidCursor() | UrlTaken():
            return problems.Invalid([FieldError(_FIELDS[type(error)], str(error))])
        case BlobAbandoned():
            return problems.Unavailable(str(error), retry_after_s=1)
        case _:
            log.error("store_error", error=str(error), kind=type(error).__name__)
            return internal()


async def _on_http_exception(request: Request, error: Exception) -> Response:
    """What the framework itself refuses: unknown routes, and methods that a route does not have."""
    assert isinstance(error, HTTPException)
    path = request.url.path
    problem: Problem
    match error.status_code:
        case HTTPStatus.NOT_FOUND:
            problem = problems.Missing(f"There is nothing at {path}. See /docs for what there is.")
        case HTTPStatus.METHOD_NOT_ALLOWED:
            allowed = ", ".join(_methods_of(request))
            problem = problems.MethodNotAllowed(
                f"{request.method} is not possible on {path}; use {allowed}.", allowed=allowed
            )
        case _:  # of the framework's own, only a body that breaks off
            problem = problems.MalformedRequest(f"The request cannot be read: {error.detail}.")
    return problem_response(problem, request)


def _methods_of(request: Request) -> list[str]:
    """What goes with an address, over all its routes: the framework names those of the first only."""
    asked = {"type": "http", "path": request.scope["path"], "root_path": request.scope.get("root_path", "")}
    routes = request.app.router.routes
    return [
        method
        for method in _METHODS
        if any(each.matches({**asked, "method": method})[0] is Match.FULL for each in routes)
    ]


async def _on_validation_error(request: Request, error: Exception) -> Response:
    """Query, path and header parameters that do not fit their declared types."""
    assert isinstance(error, RequestValidationError)
    errors = [FieldError(problems.pointer(*_place(found["loc"])), _words(found)) for found in error.errors()]
    # What several dependencies of a route take is looked at for each of them.
    return problem_response(problems.Invalid(list({each.pointer: each for each in errors}.values())), request)


def _place(loc: Sequence[str | int]) -> Sequence[str | int]:
    """Where a parameter is; headers as they are written."""
    if loc[0] != "header":
        return loc
    return [loc[0], "-".join(_IN_HEADERS.get(part, part.title()) for part in str(loc[1]).split("-"))]


def _words(found: Mapping[str, Any]) -> str:
    """What is wrong with a parameter and what to send instead, after its name."""
    name = ".".join(map(str, found["loc"][1:]))
    bounds = found.get("ctx", {})
    match found["type"]:
        case "missing":
            return f"{name} is missing. Send it."
        case "too_short":
            return f"{name}: give at least {bounds['min_length']} of them, not {bounds['actual_length']}."
        case "too_long":
            return f"{name}: give at most {bounds['max_length']} of them, not {bounds['actual_length']}."
    message = found["msg"].removeprefix("Value error, ").rstrip(".")
    return f"{name}: {message[:1].lower()}{message[1:]}, not {compact(found['input'])}."


async def _on_database_error(request: Request, error: Exception) -> Response:
    # The driver's own words hold statements and addresses: they belong into the log, not into the answer.
    log.warning("database_error", error=str(error).partition("\n")[0], kind=type(error).__name__)
    if isinstance(error, DBAPIError) and schema_is_missing(error):
        detail = "The database's schema is behind this version. The operator runs: python -m store.migrate"
    elif isinstance(error, ProgrammingError):
        return problem_response(internal(), request)
    else:
        detail = "The database does not answer right now. Try again in a moment."
    return problem_response(problems.Unavailable(detail), request)


async def _on_os_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, OSError)
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        raise error
    log.error("disk_full", error=str(error))
    return problem_response(
        problems.Unavailable(
            "The service has no room for this on its disk right now. Try again later.", retry_after_s=60
        ),
        request,
    )


def schema_is_missing(error: DBAPIError) -> bool:
    """Whether a statement failed because a table or column is not there yet."""
    words = str(error.orig)
    return "no such table" in words or "no such column" in words or type(error.orig).__name__.startswith("Undefined")


_HANDLERS: Sequence[tuple[type[Exception], Handler]] = [
    (Problem, _on_problem),
    (StoreError, _on_store_error),
    (HTTPException, _on_http_exception),
    (RequestValidationError, _on_validation_error),
    (ProgrammingError, _on_database_error),
    (OSError, _on_os_error),
    *((kind, _on_database_error) for kind in DATABASE_AWAY),
]
"""Whatever has none is caught and logged by `api.logs`."""


async def answer_to(request: Request, error: Exception) -> Response:
    """The answer to an exception, for those whom FastAPI does not give it; raises what has none."""
    for kind, handler in _HANDLERS:
        if isinstance(error, kind):
            return await handler(request, error)
    raise error


def install(app: FastAPI) -> None:
    """Give the app its handlers."""
    for kind, handler in _HANDLERS:
        app.add_exception_handler(kind, handler)
