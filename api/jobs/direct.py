"""Answers the requests that come most, looks at a job and submits, before FastAPI has them."""

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from api import answers
from api.audit.trail import AuditTrail
from api.auth import reader, submitter
from api.bodies import json_body
from api.dependencies import services_of
from api.ids import is_id
from api.jobs.endpoints import LOOK, SUBMIT, get_one, post
from api.jobs.headers import KEY_HEADER, is_fit
from api.jobs.sources import fetched_once
from api.journal import Journal
from api.patience import Patience

_JOBS = "/v1/jobs"
_JOB = f"{_JOBS}/"


class Direct:
    """ASGI middleware: takes `GET /v1/jobs/{job_id}` and `POST /v1/jobs`, and lets all else go on.

    FastAPI takes longer to find a route and what it depends on than a look takes, and half as long as a submit.
    Requests with parameters, or with a header that it would refuse, are left to it.
    """

    def __init__(self, app: ASGIApp, journal: Journal) -> None:
        self.app = app
        self._submit = AuditTrail(Patience(_submit), journal)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["query_string"]:
            await self.app(scope, receive, send)
        elif scope["method"] == "GET" and is_id(scope["path"].removeprefix(_JOB), "job"):
            await _look(scope, receive, send)
        elif scope["method"] == "POST" and scope["path"] == _JOBS and is_fit(_key(Request(scope))):
            await self._submit(scope, receive, send)
        else:
            await self.app(scope, receive, send)


async def _look(scope: Scope, receive: Receive, send: Send) -> None:
    scope["route"] = LOOK  # by which it is counted
    request = Request(scope, receive)
    try:
        caller, job_id = await reader(request), scope["path"].removeprefix(_JOB)
        answer = await get_one(services_of(request), caller, job_id, request=request)
    except Exception as error:  # noqa: BLE001 - each is told as FastAPI would have it told
        answer = await answers.answer_to(request, error)
    await answer(scope, receive, send)


async def _submit(scope: Scope, receive: Receive, send: Send) -> None:
    scope["route"] = SUBMIT
    request = Request(scope, receive)
    try:
        here, caller = services_of(request), await submitter(request)
        body, key = await json_body(request), _key(request)
        sources = await fetched_once(request, here, caller, body, key)
        answer = await post(here, caller, body, sources=sources, request=request, idempotency_key=key)
    except Exception as error:  # noqa: BLE001 - as above
        answer = await answers.answer_to(request, error)
    await answer(scope, receive, send)


def _key(request: Request) -> str | None:
    return request.headers.get(KEY_HEADER)
