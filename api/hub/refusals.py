"""What the hub's clients understand of a refusal: they read headers, and of a HEAD there is nothing else.

The client raises what `X-Error-Code` says and shows `X-Error-Message` (huggingface_hub/utils/_http.py,
`hf_raise_for_status`); the body is a problem as everywhere.
"""

from collections.abc import Callable, Coroutine
from typing import Any, ClassVar

from fastapi import Request, Response
from fastapi.routing import APIRoute

from api.problems import Expired, Missing, Problem, Unauthenticated


class RepoNotFound(Missing):
    """The team has no such model, dataset or job."""

    code: ClassVar[str] = "RepoNotFound"


class RevisionNotFound(Missing):
    """The repository has no such revision, or none at all yet."""

    code: ClassVar[str] = "RevisionNotFound"


class RevisionGone(Expired):
    """The repository's files were removed by retention."""

    code: ClassVar[str] = "RevisionNotFound"


class EntryNotFound(Missing):
    """The revision has no such file."""

    code: ClassVar[str] = "EntryNotFound"


class HubRoute(APIRoute):
    """A route whose refusals carry the hub's headers."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap what FastAPI makes of the endpoint and its dependencies."""
        handle = super().get_route_handler()

        async def with_headers(request: Request) -> Response:
            try:
                return await handle(request)
            except Problem as problem:
                problem.headers |= _headers(problem, request)
                raise

        return with_headers


def _headers(problem: Problem, request: Request) -> dict[str, str]:
    if isinstance(problem, Unauthenticated):
        # The hub's own words: by them the client tells a wrong key from none, for which a repository is not there.
        if "authorization" in request.headers:
            return {"X-Error-Message": "Invalid credentials in Authorization header"}
        return {"X-Error-Code": RepoNotFound.code, "X-Error-Message": "Invalid username or password."}
    said = {"X-Error-Message": problem.detail.encode("ascii", "replace").decode()}
    code = getattr(problem, "code", None)
    return said if code is None else {"X-Error-Code": code, **said}
