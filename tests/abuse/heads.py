"""Attacks before there is a request: silence, drops, bombs, nonsense."""

from collections import Counter
from collections.abc import Iterable

from tests.abuse.victim import Victim
from tests.abuse.wire import exchange, exchanges, request


async def slow_heads(victim: Victim, times: int) -> Counter[str]:
    """A header, byte by byte, without end (slow-loris); every other connection says nothing at all."""
    drops = [b"GET /v1/jobs HTTP/1.1\r\n", *[b"X-A: b\r\n"] * 60]
    each = [exchange(victim.port, drops if number % 2 else [], pause_s=1.0, patience_s=60) for number in range(times)]
    return await exchanges(each)


async def header_bombs(victim: Victim, times: int) -> Counter[str]:
    """Ten thousand headers, one of a mebibyte, one without an end, an address of a mebibyte."""
    line = b"GET /healthz HTTP/1.1\r\nHost: a\r\n"
    bombs: list[Iterable[bytes]] = [
        [line, b"".join(b"X-%d: 1\r\n" % n for n in range(10_000)), b"\r\n"],
        [line, b"X-A: " + b"a" * (1 << 20), b"\r\n\r\n"],
        [line, b"X-A: ", *[b"a" * 65_536] * 4000],
        [b"GET /" + b"a" * (1 << 20) + b" HTTP/1.1\r\nHost: a\r\n\r\n"],
        [line, b"Cookie: " + b"a=b; " * 20_000 + b"\r\n\r\n"],
        [line, b"X" * 100_000 + b": 1\r\n\r\n"],
    ]
    return await exchanges([exchange(victim.port, bombs[number % len(bombs)]) for number in range(times)])


async def no_http(victim: Victim, times: int) -> Counter[str]:
    """What is no request, or two at once: forged lengths, chunks and methods (request smuggling)."""
    chunked = b"POST /v1/jobs HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
    nonsense = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 200,
        b"GET  /healthz  HTTP/1.1\r\n\r\n",
        b"GET /healthz HTTP/9.9\r\n\r\n",
        b"\x00" * 1000 + b"\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        chunked + b"Content-Length: 5\r\n\r\n0\r\n\r\n",
        chunked + b"\r\nffffffffffffffffff\r\n",
        chunked + b"\r\n-1\r\n\r\n",
        b"POST /v1/jobs HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/jobs HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: a\nb\x00c\r\n\r\n",
        b"GET http://[::1 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: a\r\n\r\n",
        b"BREW / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"CONNECT evil:443 HTTP/1.1\r\nHost: evil\r\n\r\n",
        b"GET /v1/events HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    ]
    return await exchanges([exchange(victim.port, [nonsense[number % len(nonsense)]]) for number in range(times)])


async def guessed_keys(victim: Victim, times: int) -> Counter[str]:
    """Keys that are none, as quick as they go."""
    found: Counter[str] = Counter()
    for start in range(0, times, 50):
        some = range(start, min(start + 50, times))
        keys = [f"sec_{number:032x}_{'A' * 43}" for number in some]  # of the form without a checksum: each is looked up
        found += await exchanges([exchange(victim.port, [request("GET", "/v1/jobs", key)]) for key in keys])
    return found
