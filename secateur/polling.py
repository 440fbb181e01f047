"""Following a job: politely (one request waits for each change), and through the service's outages."""

import time
from collections.abc import Callable, Iterator
from typing import TypeVar, cast

from httpx_sse import EventSource

from secateur.answers import object_of
from secateur.errors import ServiceUnavailable, ServiceUnreachable, UnexpectedAnswer, WaitTimeout
from secateur.resources import TERMINAL, Event, Job, Sweep
from secateur.transport import Again, Transport

#: What has an end that one can wait for.
Ending = TypeVar("Ending", Job, Sweep)

#: Between two requests, also when the job changes all the time.
PAUSE_S = 0.5
#: What one request lets the service wait for a change, at most.
LONGEST_WAIT_S = 20.0
#: Silence on a stream after which it is given up; the service says something every 15 seconds.
SILENCE_S = 45.0


class _Patience:
    """How long the service may be away."""

    def __init__(self, outage_s: float) -> None:
        self._outage_s = outage_s
        self._answered_at: float | None = None

    def answered(self) -> None:
        """It is there."""
        self._answered_at = time.monotonic()

    def is_over(self) -> bool:
        """Whether to give up. Before the first answer a wrong address is likelier than an outage."""
        return self._answered_at is None or time.monotonic() - self._answered_at > self._outage_s


def wait(
    transport: Transport,
    path: str,
    on_change: Callable[[Ending], None] | None,
    timeout_s: float | None,
    outage_s: float,
) -> Ending:
    """Wait until the job or sweep at `path` has ended; `Client.wait` describes the arguments."""
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    patience = _Patience(outage_s)
    etag: str | None = None
    longest = min(LONGEST_WAIT_S, transport.timeout / 2)
    while True:
        asked_at = time.monotonic()
        try:
            # A service that is stopped drops those who wait: they ask again, of another process or a later one.
            headers = {"If-None-Match": etag} if etag else {}
            left = longest if deadline is None else min(longest, max(0.0, deadline - asked_at))
            params = {"wait": f"{left:.3f}"} if etag else {}
            response = transport.send("GET", path, again=Again.ALWAYS, headers=headers, params=params)
        except (ServiceUnreachable, ServiceUnavailable):
            if patience.is_over():
                raise
        else:
            patience.answered()
            if response.status_code != 304:
                etag = response.headers.get("etag")
                found = cast(Ending, object_of(response, "id", "status"))
                if on_change is not None:
                    on_change(found)
                if found["status"] in TERMINAL:
                    return found
        pause = max(0.0, PAUSE_S - (time.monotonic() - asked_at))
        if deadline is not None and time.monotonic() + pause >= deadline:
            raise WaitTimeout(f"It has not ended after {timeout_s:g} s; it goes on running.")
        time.sleep(pause)


def follow(transport: Transport, path: str, after: int, outage_s: float) -> Iterator[Event]:
    """The events of the job whose stream is at `path`; `Client.follow` describes the arguments."""
    patience = _Patience(outage_s)
    while True:
        asked_at = time.monotonic()
        headers = {"Accept": "text/event-stream", "Last-Event-ID": str(after)}
        try:
            with transport.stream(path, headers, timeout=max(transport.timeout, SILENCE_S)) as response:
                patience.answered()
                if not response.headers.get("content-type", "").startswith("text/event-stream"):
                    raise UnexpectedAnswer(f"{path} answered with something else than a stream of events.")
                for message in EventSource(response).iter_sse():
                    patience.answered()
                    if message.event == "end":
                        return
                    if message.event == "message" and message.data:  # without data it is no event, only a field
                        event = cast(Event, message.json())
                        after = event["seq"]
                        yield event
        except (ServiceUnreachable, ServiceUnavailable):
            if patience.is_over():
                raise
        time.sleep(max(0.0, PAUSE_S - (time.monotonic() - asked_at)))
