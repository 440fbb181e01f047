"""Attacks by many at once: polls, downloads of what is being deleted, clients that do not read."""

import asyncio
import hashlib
import os
from collections import Counter

import httpx

from store import DatabaseBlobStore, NewArtifact, claim_next, finish_succeeded, request_cancel
from tests.abuse.victim import MIB, Victim
from tests.abuse.wire import CLOSED, exchange, exchanges, request

FILE = "model/model.safetensors"


def finished(victim: Victim, size: int) -> tuple[str, str]:
    """A job that left a file of random bytes; its path, and the file's sha256."""
    content = os.urandom(size)
    blob = DatabaseBlobStore(victim.database).write([content])
    with victim.client as client:
        victim.submit(client)
    with victim.database.write() as session:
        claim = claim_next(session, "default", "worker", 600.0)
    assert claim is not None
    with victim.database.write() as session:
        file = NewArtifact(FILE, "model", "application/octet-stream", blob)
        finish_succeeded(session, claim.fence, {}, [file], [])
    return f"/v1/jobs/{claim.fence.job_id}", hashlib.sha256(content).hexdigest()


async def parallel_polls(victim: Victim, times: int) -> Counter[str]:
    """Long polls of one job, all waiting at once; then it is cancelled, and every one must hear of it."""
    with victim.client as client:
        path = victim.submit(client)
    keys = [victim.new_key() for _ in range(-(-times // 1000))]  # or the limit of one would answer
    asked = [request("GET", f"{path}?wait=50", key) for key in keys]
    waiting = []
    for start in range(0, times, 250):  # or many would be connected long before we came to ask
        some = range(start, min(start + 250, times))
        waiting += [asyncio.create_task(exchange(victim.port, [asked[n // 1000]], patience_s=120)) for n in some]
        await asyncio.sleep(0.5)
    with victim.database.write() as session:
        request_cancel(session, victim.team, path.rpartition("/")[2])
    return await exchanges(waiting)


async def downloads_while_deleted(victim: Victim, times: int) -> Counter[str]:
    """Ten clients download a file, and after a moment its job is deleted: whole files, 404s, or none at all."""
    found: Counter[str] = Counter()
    limits = httpx.Limits(max_connections=None)
    headers = {"Authorization": f"Bearer {victim.key}"}
    url = f"http://127.0.0.1:{victim.port}"
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=120, limits=limits) as client:
        for _ in range(times // 11):
            path, sha256 = await asyncio.to_thread(finished, victim, 16 * MIB)

            async def download(path: str = path, sha256: str = sha256) -> str:
                try:
                    answer = await client.get(f"{path}/artifacts/{FILE}")
                except httpx.TransportError:
                    return CLOSED
                if answer.status_code == 200 and hashlib.sha256(answer.content).hexdigest() != sha256:
                    return "wrong bytes"
                return str(answer.status_code)

            async def delete(path: str = path) -> str:
                await asyncio.sleep(0.05)
                return str((await client.delete(path)).status_code)

            found += await exchanges([*(download() for _ in range(10)), delete()])
    return found


async def clients_that_do_not_read(victim: Victim, times: int) -> Counter[str]:
    """A download of 64 MiB each, of which nobody reads more than the status."""
    path, _ = await asyncio.to_thread(finished, victim, 64 * MIB)
    asked = request("GET", f"{path}/artifacts/{FILE}", victim.key)
    found: Counter[str] = Counter()
    writers = []
    for _ in range(times):
        reader, writer = await asyncio.open_connection("127.0.0.1", victim.port, limit=1024)
        writer.write(asked)
        writers.append(writer)
        found[(await reader.readline()).split()[1].decode()] += 1
    await asyncio.sleep(5)
    for writer in writers:
        writer.transport.abort()
    return found


async def ranges(victim: Victim, times: int) -> Counter[str]:
    """A thousand ranges, ranges that overlap, and what is no range."""
    path, _ = await asyncio.to_thread(finished, victim, MIB)
    asked = [
        "bytes=" + ",".join(f"{n}-{n}" for n in range(1000)),
        "bytes=" + ",".join("0-" for _ in range(1000)),
        "bytes=-" + "9" * 30,
        "bytes=" + "9" * 30 + "-",
        "bytes=5-1",
        "bytes=--1",
        "lines=1-2",
        "bytes=" + ",".join(f"{n}-{n + 70_000}" for n in range(0, 1_000_000, 35_000)),
    ]
    each = [
        exchange(victim.port, [request("GET", f"{path}/artifacts/{FILE}", victim.key, Range=asked[n % len(asked)])])
        for n in range(times)
    ]
    return await exchanges(each)


async def uploads_in_parts(victim: Victim, times: int) -> Counter[str]:
    """Lengths, offsets and names that are none, and two who add to one upload at once."""
    tus = {"Tus_Resumable": "1.0.0"}
    begun = [
        request("POST", "/v1/uploads", victim.key, b"", **tus, Upload_Length=length, Upload_Metadata=metadata)
        for length in ("-1", "9" * 40, "1e3", "0", "", "5")
        for metadata in ("filename", "filename AA==", "filename " + "A" * 5000, "x " * 3000, "filename dC5jc3Y=")
    ]
    with victim.client as client:
        headers = {"Tus-Resumable": "1.0.0", "Upload-Length": str(4 * MIB), "Upload-Metadata": "filename dC5jc3Y="}
        path = client.post("/v1/uploads", headers=headers).raise_for_status().headers["location"]
    body = {"Content_Type": "application/offset+octet-stream"}
    added = [
        request("PATCH", path, victim.key, b"x" * MIB, **tus, **body, Upload_Offset=offset)
        for offset in ("0", "0", "-1", "9" * 40, "1048576", "x")
    ]
    each = [*added, *begun]
    return await exchanges([exchange(victim.port, [each[number % len(each)]]) for number in range(times)])
