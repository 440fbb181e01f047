"""What many at once cost one API process in memory: large downloads, and listeners to events."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import psutil

from benchmarks.api_servers import Tenant

MIB = 1 << 20
CLIENTS = 8


class _Watched:
    """The largest resident set of a process while a block runs."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._over = threading.Event()
        self.before = self.peak = self._process.memory_info().rss
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "_Watched":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    @property
    def grew_mib(self) -> float:
        """MiB beyond the beginning."""
        return (self.peak - self.before) / MIB

    def _watch(self) -> None:
        while not self._over.wait(0.02):
            self.peak = max(self.peak, self._process.memory_info().rss)


def memory_of_downloads(tenant: Tenant, gib: float) -> dict[str, float]:
    """How much the process grows while several clients each download so much."""
    path = tenant.finished_job(_mixed(round(gib * 1024)))
    asked = tenant.request("GET", path)
    plan = {"port": tenant.service.port, "requests": [asked], "connections": CLIENTS, "seconds": 0.0}
    with _Watched(tenant.service.pid) as watched:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.api_load"],
            input=json.dumps(plan), capture_output=True, text=True, check=True,
        )  # fmt: skip
    came = json.loads(done.stdout)["body_bytes"] / MIB
    print(f"memory: {came:,.0f} MiB to {CLIENTS} clients; the process grew by {watched.grew_mib:.1f} MiB", flush=True)
    assert came >= CLIENTS * round(gib * 1024)
    return {"download_memory_mib": watched.grew_mib}


def _mixed(mib: int) -> Iterator[bytes]:
    """Bytes of which every other mebibyte can be compressed."""
    import os

    noise, zeros = os.urandom(MIB), bytes(MIB)
    for number in range(mib):
        yield zeros if number % 2 else number.to_bytes(8, "big") + noise[8:]


def listeners(tenant: Tenant, count: int) -> dict[str, float]:
    """How late listeners to events hear of progress, and how much the process grows while they listen."""
    jobs = tenant.running_jobs(10, {})
    plan = {
        "port": tenant.service.port,
        "listeners": count,
        "requests": [tenant.request("GET", f"/v1/jobs/{job}/events", Accept="text/event-stream") for job in jobs],
    }
    with _Watched(tenant.service.pid) as watched:
        listening = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.api_listen"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert listening.stdin is not None
        assert listening.stdout is not None
        listening.stdin.write(json.dumps(plan) + "\n")
        listening.stdin.flush()
        listening.stdout.readline()  # all listen
        connected = watched.peak
        told = []
        for step in range(200, 230):
            for job in jobs:
                tenant.progress(job, step)
            told.append((step, time.time()))
            time.sleep(0.5)
        time.sleep(2.0)
        out, _ = listening.communicate("over\n", timeout=60)
    heard = json.loads(out)
    late = sorted(
        at - when for step, when in told for at in heard.get(str(step), [])
    )  # a step is told after all ten were written
    assert len(late) >= count * 0.99 * len(told) * 0.5, "progress may skip steps, not most of them"
    p99 = late[len(late) * 99 // 100]
    grew = (watched.peak - connected) / MIB
    print(f"streams: {count} listeners, p99 {p99:.2f} s late; {grew:.1f} MiB more while they listened", flush=True)
    return {"stream_p99_s": p99, "stream_memory_mib": grew}
