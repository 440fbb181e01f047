"""Puts load on a server from a process of its own: raw sockets, requests made beforehand, answers counted.

`python -m benchmarks.api_load` reads a plan as JSON from its standard input and writes what came of it to its standard
output. It parses no more of an answer than where it ends (httptools, in C), so that it costs a fraction of what any
Python server spends; its own processor time is among the figures, for whoever doubts that.
"""

import asyncio
import json
import resource
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import cast

import httptools
import uvloop


@dataclass(frozen=True)
class Plan:
    """What to ask.

    Attributes:
        port: of the server, on this machine.
        requests: whole HTTP/1.1 requests, asked in turn.
        connections: how many ask at once, each again as soon as it is answered.
        seconds: for how long.
    """

    port: int
    requests: Sequence[str]
    connections: int = 64
    seconds: float = 2.0


@dataclass
class Load:
    """What came of it.

    Attributes:
        statuses: answers by status.
        seconds: from the first request to the last answer.
        p50_ms: median time to a whole answer.
        p99_ms: of a hundred answers the slowest but one.
        body_bytes: of all answers together.
        processor_s: what asking cost.
    """

    statuses: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    body_bytes: int = 0
    processor_s: float = 0.0

    @property
    def per_second(self) -> float:
        """Good answers a second."""
        return sum(count for status, count in self.statuses.items() if status < "300") / self.seconds

    @property
    def bytes_per_second(self) -> float:
        """Bytes of bodies a second."""
        return self.body_bytes / self.seconds


class _Asker(asyncio.Protocol):
    """One connection."""

    def __init__(self, asking: "_Asking") -> None:
        self._asking = asking
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.WriteTransport | None = None
        self._began = 0.0
        self.over = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)  # uvloop's own classes are none of asyncio's
        self._ask()

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.over.done():
            self._asking.statuses["broken"] += 1
            self.over.set_result(None)

    def on_body(self, body: bytes) -> None:
        self._asking.body_bytes += len(body)

    def on_message_complete(self) -> None:
        now = time.perf_counter()
        self._asking.statuses[str(self._parser.get_status_code())] += 1
        self._asking.took.append(now - self._began)
        if now >= self._asking.until:
            assert self._transport is not None
            self.over.set_result(None)
            self._transport.close()
        else:
            self._parser = httptools.HttpResponseParser(self)
            self._ask()

    def _ask(self) -> None:
        assert self._transport is not None
        self._began = time.perf_counter()
        self._transport.write(self._asking.next_request())


class _Asking:
    """All connections together."""

    def __init__(self, plan: Plan) -> None:
        self._requests = [request.encode("latin-1") for request in plan.requests]
        self._plan = plan
        self._turn = 0
        self.until = 0.0
        self.statuses: Counter[str] = Counter()
        self.took: list[float] = []
        self.body_bytes = 0

    def next_request(self) -> bytes:
        self._turn += 1
        return self._requests[self._turn % len(self._requests)]

    async def run(self) -> Load:
        began = time.perf_counter()
        self.until = began + self._plan.seconds
        loop = asyncio.get_running_loop()
        askers = [
            (await loop.create_connection(lambda: _Asker(self), "127.0.0.1", self._plan.port))[1]
            for _ in range(self._plan.connections)
        ]
        await asyncio.gather(*(asker.over for asker in askers))
        seconds = time.perf_counter() - began
        used = resource.getrusage(resource.RUSAGE_SELF)
        took = sorted(self.took) or [0.0]
        return Load(
            dict(self.statuses),
            seconds,
            took[len(took) // 2] * 1000,
            took[len(took) * 99 // 100] * 1000,
            self.body_bytes,
            used.ru_utime + used.ru_stime,
        )


def main() -> None:
    """Carry out the plan that comes in."""
    plan = Plan(**json.load(sys.stdin))
    print(json.dumps(asdict(uvloop.run(_Asking(plan).run()))))


if __name__ == "__main__":
    main()
