"""The bell: rings go out from a thread of their own, so that a broker in trouble delays nobody."""

import socket
import time
from collections.abc import Iterator

import pytest

from api.bell import Bell


@pytest.fixture
def black_hole() -> Iterator[str]:
    """The URL of a broker that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"redis://127.0.0.1:{server.getsockname()[1]}/0"


def timed(bell: Bell) -> float:
    """Seconds that a hundred rings take their caller."""
    started = time.perf_counter()
    for number in range(100):
        bell.ring(f"queue-{number % 3}")
    return time.perf_counter() - started


def test_a_dead_broker_holds_up_nobody() -> None:
    bell = Bell("redis://127.0.0.1:1/0")
    assert timed(bell) < 0.5
    assert bell.broker_answers() is False
    bell.close()


def test_after_a_failed_ring_nobody_rings_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.bell.REST_S", 0.3)
    bell = Bell("redis://127.0.0.1:1/0")
    rung: list[tuple[float, str]] = []

    def fail(*_: object, queue: str, **__: object) -> None:
        rung.append((time.perf_counter(), queue))
        if len(rung) == 1:
            raise ConnectionError

    monkeypatch.setattr(bell._celery, "send_task", fail)
    bell.ring("default")
    while not rung:
        time.sleep(0.01)
    for _ in range(10):
        bell.ring("default")
        bell.ring("large")
    while len(rung) < 3:
        time.sleep(0.01)
    bell.close()
    assert [queue for _, queue in rung] == ["default", "default", "large"], "rings that wait are one for each queue"
    assert rung[1][0] - rung[0][0] >= 0.3


def test_closing_waits_for_no_rest() -> None:
    bell = Bell("redis://127.0.0.1:1/0")
    bell.ring("default")
    time.sleep(0.2)
    started = time.perf_counter()
    bell.close()
    assert time.perf_counter() - started < 1.5


def test_a_hung_broker_holds_up_nobody(black_hole: str) -> None:
    bell = Bell(black_hole)
    assert timed(bell) < 0.5
    started = time.perf_counter()
    assert bell.broker_answers() is False
    bell.close()
    assert time.perf_counter() - started < 5, "closing does not wait for the broker's timeouts"
