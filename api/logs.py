"""One JSON line per request, with an id that the answer carries too. Keys and bodies are never logged."""

import json
import logging
import re
import secrets
import time
from typing import TextIO, cast

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.types import EventDict

from api.answers import internal, problem_response
from api.meters import Meters
from api.request_id import current, name_request
from store.key_text import hide_keys
from store.output import BestEffort

log = structlog.get_logger(__name__)

HEADER = "X-Request-ID"
_RAW_HEADER = HEADER.lower().encode()

#: What we accept as a caller's own id: nothing that could forge a log line.
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


def configure() -> None:
    """Write structured logs as JSON lines to standard error, as far as that works: a full disk costs no answer."""
    structlog.configure(
        processors=[
            name_request,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _line,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(cast(TextIO, BestEffort("stderr"))),
        cache_logger_on_first_use=False,
    )


_JSON = json.JSONEncoder(default=repr)


def _line(_: object, __: str, event: EventDict) -> str:
    """An event as JSON, with keys hidden wherever they got: pasted into an address, or quoted by an exception."""
    return hide_keys(_JSON.encode(event))


class RequestLog:
    """ASGI middleware: names each request, logs and counts how it ended, turns an unexpected error into a bare 500."""

    def __init__(self, app: ASGIApp, meters: Meters) -> None:
        self.app = app
        self.meters = meters
        self._log = log.bind()  # once, not for each line

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = _given_id(scope) or secrets.token_hex(16)
        current.set(request_id)
        started = time.perf_counter()
        begun_s: float | None = None
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status, begun_s
            if message["type"] == "http.response.start":
                status, begun_s = message["status"], time.perf_counter() - started
                message["headers"] = [*message.get("headers", []), (_RAW_HEADER, request_id.encode())]
            await send(message)

        try:
            await self.app(scope, receive, send_with_id)
        except ClientDisconnect:
            status = 499  # nginx's number for a client that left; nobody is there to read an answer
        except Exception:
            log.exception("unexpected_error", method=scope["method"], path=scope["path"])
            if status:  # the answer has begun: break the connection, so that nobody takes half of it for the whole
                raise
            await problem_response(internal(), Request(scope))(scope, receive, send_with_id)
        finally:
            took_ms = round((time.perf_counter() - started) * 1000, 1)
            self.meters.count(scope["method"], getattr(scope.get("route"), "path", None), status, begun_s)
            self._log.info("request", method=scope["method"], path=scope["path"], status=status, took_ms=took_ms)


def _given_id(scope: Scope) -> str | None:
    """The caller's own id for its request, if it gave one that is fit for a log."""
    for name, value in scope["headers"]:
        if name == _RAW_HEADER:
            given: str = value.decode("latin-1")
            return given if _REQUEST_ID.fullmatch(given) else None
    return None
