"""Attacks with JSON: too much of it, too deep, too slow, and none."""

import json
from collections import Counter

from tests.abuse.victim import Victim
from tests.abuse.wire import exchange, exchanges, request

JSON = "application/json"


def _documents(spec: dict[str, object]) -> list[bytes]:
    """Bodies that nobody should send."""
    text = json.dumps(spec)
    open_end = text[:-1]
    return [
        json.dumps({**spec, **{f"k{n}": n for n in range(10_000)}}).encode(),
        json.dumps({**spec, "tags": {f"k{n}": "v" for n in range(10_000)}}).encode(),
        json.dumps({**spec, "pruning": {"params": {f"k{n}": n for n in range(10_000)}}}).encode(),
        ("{" + ",".join(f'"k{n}":1' for n in range(70_000)) + ',"k69999":2}').encode(),
        b"[" * 500_000,
        (open_end + ',"tags":' + '{"a":' * 60_000 + "1" + "}" * 60_000 + "}").encode(),
        (open_end + ',"priority":' + "9" * 900_000 + "}").encode(),
        (open_end + ',"priority":1e999999}').encode(),
        (open_end + ',"name":"' + "\\u0000" * 1000 + '"}').encode(),
        (open_end + ',"name":"\\ud800"}').encode(),
        open_end.encode() + b',"name":"\xff\xfe\xc0\x80"}',
        open_end.encode() + b',"name":"\x00"}',
        (open_end + ',"target_sparsity":NaN}').encode(),
        (open_end + ',"pruning":{"modules":"' + "(a*)*" * 1000 + '$"}}').encode(),
        b"x" * ((1 << 20) + 1),
        b"",
        b"null",
        b"\xef\xbb\xbf" * 1000,
        text.encode("utf-16"),
    ]


async def hostile_json(victim: Victim, times: int) -> Counter[str]:
    """Each of them, to each route that takes JSON."""
    documents = _documents(victim.spec)
    paths = ["/v1/jobs", "/v1/jobs:validate", "/v1/sweeps", "/v1/keys"]
    found: Counter[str] = Counter()
    for number in range(times):
        path = paths[number // len(documents) % len(paths)]
        sent = request("POST", path, victim.key, documents[number % len(documents)], Content_Type=JSON)
        found[await exchange(victim.port, [sent])] += 1
    return found


async def slow_bodies(victim: Victim, times: int) -> Counter[str]:
    """A byte a second of a body that is announced."""
    head = request("POST", "/v1/jobs", victim.key, Content_Type=JSON, Content_Length="5000")
    drops = [head, *[b" "] * 5000]
    return await exchanges([exchange(victim.port, drops, pause_s=1.0, patience_s=90) for _ in range(times)])


async def bodies_that_never_come(victim: Victim, times: int) -> Counter[str]:
    """Announced, and left out."""
    head = request(
        "POST", "/v1/datasets", victim.key, Content_Type="multipart/form-data; boundary=b", Content_Length="9"
    )
    return await exchanges([exchange(victim.port, [head], patience_s=90) for _ in range(times)])
