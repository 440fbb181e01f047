"""Uvicorn's HTTP protocol, bounded: what comes before a request is whole has a size and a time.

`uvicorn --http api.protocol:BoundedProtocol api.app:create_app --factory`. Uvicorn itself keeps every header
that comes, for as long as any come, and a connection that says nothing keeps its place for ever.
"""

import asyncio
from http import HTTPStatus
from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from api.problems import MEDIA_TYPE, TYPE_PREFIX, ProblemDocument

#: Of a request's address, and of all that comes before its body, in bytes; nginx allows 8 and 32 KiB, too.
MAX_TARGET_BYTES: Final = 8 * 1024
MAX_HEAD_BYTES: Final = 32 * 1024
MAX_HEADERS: Final = 100

#: Seconds from a connection, or a request's first byte, to the end of its headers.
HEAD_S: Final = 10.0
_SECOND_LOOK_S: Final = 1.0
#: Seconds that a client may go on sending a body that was answered before its end.
LINGER_S: Final = 30.0
#: Seconds that what a refused client still sends is thrown away: to close at once would take its answer from it
#: (RFC 9112, 9.6).
REFUSED_S: Final = 2.0
#: Seconds that a client may take to read what is on its way to it, at most a piece of a download.
READ_S: Final = 60.0

#: Under this name the app's lifespan says, in its state, what to call when the server is to end.
STOPPING: Final = "stopping"

#: A process answers no more connections than this; each costs memory and a file descriptor.
MAX_CONNECTIONS: Final = 8_000


class BoundedProtocol(HttpToolsProtocol):
    """One connection."""

    _deadline: asyncio.TimerHandle | None = None
    _reading: asyncio.TimerHandle | None = None
    _in_head = True
    _in_body = False
    _head_bytes = 0
    _refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as in uvicorn
        """Begin, unless there are too many."""
        super().connection_made(transport)
        if len(self.connections) > MAX_CONNECTIONS:
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, "There are too many connections. Try again in a moment.")
            return
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._stop_expecting()
        self._stop_waiting_for_reader()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on, until there is reason not to."""
        if self._refused:
            return
        self._head_bytes += len(data) if self._in_head else 0
        super().data_received(data)
        # The parser tells of a header when it has seen its end, which may never come.
        if self._in_head and self._head_bytes > MAX_HEAD_BYTES:
            self._refuse_head()

    def shutdown(self) -> None:
        """The server is to end: whoever only waits for something to happen is answered now."""
        if stop := self.app_state.get(STOPPING):
            stop()
        super().shutdown()

    def pause_writing(self) -> None:
        """The client reads more slowly than it is answered."""
        super().pause_writing()
        self._stop_waiting_for_reader()
        self._reading = self.loop.call_later(READ_S, self.transport.abort)

    def resume_writing(self) -> None:
        """It has caught up."""
        self._stop_waiting_for_reader()
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Say that this is no HTTP, if nothing else was said before."""
        if not self._refused:
            self._refuse(HTTPStatus.BAD_REQUEST, "This is not HTTP as RFC 9112 has it.")

    # ── What the parser calls ────────────────────────────────────────────────

    def on_message_begin(self) -> None:
        """A request's first byte has come."""
        self._in_head = True
        if self._deadline is None:
            self._expect_head()
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """A part of the target has come."""
        super().on_url(url)
        if len(self.url) > MAX_TARGET_BYTES:
            self._refuse(HTTPStatus.REQUEST_URI_TOO_LONG, f"The address is over {MAX_TARGET_BYTES:,} bytes.")

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header has come."""
        if self._in_head and not self._refused:  # after a chunked body there may be more
            super().on_header(name, value)
            if len(self.headers) > MAX_HEADERS or sum(map(_length, self.headers)) > MAX_HEAD_BYTES:
                self._refuse_head()

    def on_headers_complete(self) -> None:
        """The request can be answered."""
        self._stop_expecting()
        self._in_head, self._in_body, self._head_bytes = False, True, 0
        if not self._refused:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A part of the body has come."""
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """The whole request has come."""
        self._in_body = False
        if not self._refused:
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """It was answered, perhaps before its end."""
        super().on_response_complete()
        if self._in_body and not self.transport.is_closing():
            self.loop.call_later(LINGER_S, self._end_lingering, self.cycle)

    # ── Deadlines and refusals ───────────────────────────────────────────────

    def _expect_head(self) -> None:
        self._deadline = self.loop.call_later(HEAD_S - _SECOND_LOOK_S, self._look_again)

    def _look_again(self) -> None:
        if self.flow.read_paused:  # requests that were sent ahead wait their turn, and we read no more until then
            self._expect_head()
            return
        # What came while this process was busy has not been read yet; it will be before the next deadline is seen.
        words = f"No whole request came within {HEAD_S:g} seconds."
        self._deadline = self.loop.call_later(_SECOND_LOOK_S, self._refuse, HTTPStatus.REQUEST_TIMEOUT, words)

    def _stop_expecting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _stop_waiting_for_reader(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None

    def _end_lingering(self, cycle: object) -> None:
        if self._in_body and self.cycle is cycle:
            self.transport.close()

    def _refuse_head(self) -> None:
        self._refuse(
            HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
            f"The headers are over {MAX_HEAD_BYTES:,} bytes, or more than {MAX_HEADERS}.",
        )

    def _refuse(self, status: HTTPStatus, detail: str) -> None:
        """Answer, and hang up; an answer that is being given is not mixed with this one."""
        self._refused = True
        self._stop_expecting()
        if self.transport.is_closing():
            return
        cycle: RequestResponseCycle | None = self.cycle  # none before the first request, whatever uvicorn's types say
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True  # whatever else it would be answered
            cycle.message_event.set()
        if cycle is not None and cycle.response_started and not cycle.response_complete:
            self.transport.close()
            return
        self.transport.write(_answer(status, detail))
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.loop.call_later(REFUSED_S, self.transport.close)


def _length(header: tuple[bytes, bytes]) -> int:
    return len(header[0]) + len(header[1])


def _answer(status: HTTPStatus, detail: str) -> bytes:
    body = ProblemDocument(
        type=TYPE_PREFIX + status.phrase.lower().replace(" ", "-"),
        title=status.phrase,
        status=status.value,
        detail=detail,
        instance="",
    ).model_dump_json(exclude_none=True)
    lines = [
        f"HTTP/1.1 {status.value} {status.phrase}",
        f"Content-Type: {MEDIA_TYPE}",
        f"Content-Length: {len(body.encode())}",
        *(["Retry-After: 1"] if status is HTTPStatus.SERVICE_UNAVAILABLE else []),
        "Connection: close",
    ]
    return "\r\n".join([*lines, "", body]).encode()
