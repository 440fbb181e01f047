"""What every answer tells browsers: not to guess, not to frame, not to pass addresses on, to run nothing."""

import base64
import hashlib
import re

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: Nothing of ours is a page but the documentation and the reports.
_NO_PAGE = b"default-src 'none'; frame-ancestors 'none'"
#: A job's report is one file with its own styles and pictures: no scripts, no forms, no origin of ours.
_REPORT = b"sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'"
#: Swagger UI sets styles and draws its icons from data addresses; its scripts come from here.
_DOCUMENTATION = (
    "default-src 'none'; script-src 'self' {scripts}; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_DOCS = "/docs"
_INLINE_SCRIPT = re.compile(rb"<script(?![^>]*\ssrc=)[^>]*>(.*?)</script>", re.DOTALL)

#: Headers that scripts of other origins may send and read, where an operator lets those in.
CORS_REQUEST_HEADERS = (
    "Authorization", "Content-Type", "Idempotency-Key", "If-None-Match", "If-Range", "Last-Event-ID", "Range",
    "Tus-Resumable", "Upload-Length", "Upload-Metadata", "Upload-Offset", "X-Request-ID",
)  # fmt: skip
CORS_ANSWER_HEADERS = (
    "Content-Disposition", "Content-Range", "ETag", "Location", "RateLimit", "RateLimit-Policy", "Repr-Digest",
    "Retry-After", "Tus-Resumable", "Upload-Expires", "Upload-Length", "Upload-Metadata", "Upload-Offset",
    "X-Request-ID",
)  # fmt: skip


class SecurityHeaders:
    """ASGI middleware, the outermost: also what goes wrong is answered with these headers."""

    def __init__(self, app: ASGIApp, hsts_s: int | None) -> None:
        self.app = app
        fixed = {
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
            "Referrer-Policy": "no-referrer",
        }
        if hsts_s is not None:
            fixed["Strict-Transport-Security"] = f"max-age={hsts_s}"
        self._fixed = Headers(fixed).raw  # no part of the service sets any of them itself

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        is_page = scope["path"] == _DOCS or scope["path"].startswith(f"{_DOCS}/")
        start: Message | None = None

        async def send_with_headers(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                given = message.get("headers", ())
                message["headers"] = [*given, *self._fixed]
                if is_page:  # which scripts it may run is told from the page
                    start = message
                    return
                is_report = any(name == b"content-type" and value.startswith(b"text/html") for name, value in given)
                message["headers"].append((b"content-security-policy", _REPORT if is_report else _NO_PAGE))
            elif start is not None:
                MutableHeaders(scope=start)["Content-Security-Policy"] = _policy_of(message.get("body", b""))
                await send(start)
                start = None
            await send(message)

        await self.app(scope, receive, send_with_headers)


def _policy_of(page: bytes) -> str:
    """A policy that lets a page run the scripts it came with, by their hashes, and no others."""
    digests = (hashlib.sha256(script).digest() for script in _INLINE_SCRIPT.findall(page))
    scripts = " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
    return _DOCUMENTATION.format(scripts=scripts)
