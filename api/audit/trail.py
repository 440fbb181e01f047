"""Writes down every call that could change something, before it is answered."""

import asyncio
from dataclasses import asdict

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.ids import looks_like_an_id
from api.journal import Journal
from api.request_id import current
from store import Call, Principal, record_call

log = structlog.get_logger(__name__)

#: What changes nothing by its nature (RFC 9110, 9.2.1).
_SAFE = {"GET", "HEAD", "OPTIONS", "TRACE"}

#: So long an answer waits for its entry, in seconds; then it goes out, and the log has the entry instead.
PATIENCE_S = 5.0

_CALLER = "audited_caller"
_WRITTEN = "audit_entry_written"


def will_be_audited(request: Request, caller: Principal) -> None:
    """Say who calls, once the call is allowed to try; called for all that needs more than the scope `read`."""
    setattr(request.state, _CALLER, caller)


def entry_of(request: Request, status: int, made: str = "") -> Call | None:
    """What the log says of a call; None where nobody was let in, or the call changes nothing.

    Args:
        request: the call.
        status: of the answer.
        made: the id of what it made, if it made something.
    """
    caller = getattr(request.state, _CALLER, None)
    if not isinstance(caller, Principal):
        return None
    asked = next((value for name, value in request.path_params.items() if name.endswith("_id")), "")
    return Call(
        team_id=caller.team_id,
        key_id=caller.key_id,
        method=request.method,
        route=getattr(request.scope.get("route"), "path", request.url.path),
        # What can be no id may be anything: a key that was pasted there, or what no database holds.
        target_id=next(filter(looks_like_an_id, (asked, made)), None),
        status=status,
        request_id=current.get(),
    )


def was_audited(request: Request) -> None:
    """Say that the call's entry was written with what the call changed."""
    setattr(request.state, _WRITTEN, True)


class AuditTrail:
    """ASGI middleware: an answer to a call that could change something goes out when its entry is committed."""

    def __init__(self, app: ASGIApp, journal: Journal) -> None:
        self.app = app
        self._journal = journal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["method"] in _SAFE:
            await self.app(scope, receive, send)
            return
        answered = False

        async def send_when_written(message: Message) -> None:
            nonlocal answered
            if message["type"] == "http.response.start":
                answered = True
                await self._write(scope, message["status"], dict(message.get("headers", ())))
            await send(message)

        try:
            await self.app(scope, receive, send_when_written)
        except Exception as error:
            if not answered:
                await self._write(scope, 499 if isinstance(error, ClientDisconnect) else 500, {})
            raise

    async def _write(self, scope: Scope, status: int, headers: dict[bytes, bytes]) -> None:
        request = Request(scope)
        if getattr(request.state, _WRITTEN, False):
            return
        entry = entry_of(request, status, headers.get(b"location", b"").decode("latin-1").rpartition("/")[2])
        if entry is None:
            return
        written = self._journal.enter(lambda session: record_call(session, entry))
        try:
            await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(written)), PATIENCE_S)
        except Exception as error:  # noqa: BLE001 - the call is done: its answer goes out, and the entry is not lost
            log.error("audit_entry_not_written", kind=type(error).__name__, **asdict(entry))
