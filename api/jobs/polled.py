"""Answers the request that comes most by far, a look at a job, before FastAPI has it."""

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from api import answers
from api.auth import reader
from api.dependencies import services_of
from api.ids import is_id
from api.jobs.endpoints import LOOK, get_one

_PREFIX = "/v1/jobs/"


class Polled:
    """ASGI middleware: takes `GET /v1/jobs/{job_id}` without parameters, and lets all else go on.

    FastAPI takes longer to find the route and its parameters than the look itself takes.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["method"] != "GET" or scope["query_string"]:
            await self.app(scope, receive, send)
            return
        job_id = scope["path"].removeprefix(_PREFIX)
        if not is_id(job_id, "job"):
            await self.app(scope, receive, send)
            return
        scope["route"] = LOOK  # by which it is counted
        request = Request(scope, receive)
        try:
            answer = await get_one(services_of(request), await reader(request), job_id, request=request)
        except Exception as error:  # noqa: BLE001 - each is told as FastAPI would have it told
            answer = await answers.answer_to(request, error)
        await answer(scope, receive, send)
