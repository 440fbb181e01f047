"""Tells callers how often they may still ask (draft-ietf-httpapi-ratelimit-headers-10)."""

from dataclasses import dataclass

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_STANDING = "rate_standing"


@dataclass(frozen=True)
class Standing:
    """What is left of a window.

    Attributes:
        limit: requests in a window.
        window_s: its length.
        remaining: requests left in it.
        reset_s: whole seconds until the next one.
    """

    limit: int
    window_s: int
    remaining: int
    reset_s: int

    def headers(self) -> dict[str, str]:
        """What an answer says of it."""
        return {
            "RateLimit-Policy": f'"key";q={self.limit};w={self.window_s}',
            "RateLimit": f'"key";r={self.remaining};t={self.reset_s}',
        }


def will_be_told(request: Request, standing: Standing) -> None:
    """Have the answer to a request say how its key stands."""
    setattr(request.state, _STANDING, standing)


class RateLimitHeaders:
    """ASGI middleware: tells every caller how it stands."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                standing = scope.get("state", {}).get(_STANDING)
                if isinstance(standing, Standing):
                    MutableHeaders(scope=message).update(standing.headers())
            await send(message)

        await self.app(scope, receive, send_with_headers)
