"""Bodies that come too slowly: by the clock of those who wait, and not of those who work."""

import asyncio
import time
from collections.abc import Sequence

import pytest
from starlette.types import Message, Receive, Scope, Send

from api import patience
from api.patience import Patience
from api.problems import TooSlow


async def nobody(_: Message) -> None:
    """Is answered."""


def read(pieces: Sequence[tuple[float, bytes]], *, method: str = "POST", work_s: float = 0.0) -> bytes:
    """What an app reads of a body whose pieces come after so many seconds each; it works between them."""
    coming = iter(pieces)
    left = len(pieces)
    body = b""

    async def receive() -> Message:
        nonlocal left
        pause_s, piece = next(coming)
        await asyncio.sleep(pause_s)
        left -= 1
        return {"type": "http.request", "body": piece, "more_body": left > 0}

    async def app(_: Scope, receive: Receive, __: Send) -> None:
        nonlocal body
        more = True
        while more:
            message = await receive()
            body += message["body"]
            more = message["more_body"]
            time.sleep(work_s)  # noqa: ASYNC251 - that is the point: the client is not to blame for it

    asyncio.run(Patience(app)({"type": "http", "method": method}, receive, nobody))
    return body


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "GRACE_S", 0.2)
    monkeypatch.setattr(patience, "LEAST_BYTES_PER_S", 1000)


def test_a_body_that_drips_is_refused_however_often_a_drop_comes() -> None:
    began = time.monotonic()
    with pytest.raises(TooSlow, match=r"\d+ bytes in \d+ seconds"):
        read([(0.02, b"x")] * 1000)
    assert time.monotonic() - began < 5


def test_a_body_that_stops_is_refused() -> None:
    with pytest.raises(TooSlow):
        read([(0.0, b"x" * 50), (60.0, b"x")])


def test_a_slow_body_that_is_long_is_read_to_its_end() -> None:
    assert read([(0.05, b"x" * 100)] * 10) == b"x" * 1000


def test_what_we_spend_is_not_the_clients() -> None:
    assert read([(0.0, b"x")] * 5, work_s=0.1) == b"x" * 5


def test_who_reads_no_body_is_left_alone() -> None:
    assert read([(0.3, b"x")], method="GET") == b"x"
