"""How quick the service answers, against FastAPI and Starlette doing nothing on the same server.

`make bench-api` takes about five minutes. The ways of a comparison run in turn, round by round; a figure is the median
over the rounds of the ratio within one. Load comes from a process of its own (`api_load.py`).

* *get_job*: looks at 64 jobs that run, by 64 clients, against a route that returns one field.
* *submit*: submits by 64 clients, each a whole check of another spec and a job in the database, against the same route;
  `submit_of_post` is against a route that reads the same JSON and does nothing else.
* *listing*: a page of 100 jobs of a team that has 100,000, against one of a team that has 1,000.
* *download*: a file out of the database's chunks, against Starlette's `FileResponse` of the same bytes; SQLite and
  PostgreSQL.
* *memory*: what the process's resident set grows by while 8 clients download a gibibyte each.
* *streams*: 500 listeners to events of jobs in one process: how late they hear, and what they cost.

The last line printed is one JSON object: `{"get_job": …, "submit": …, "download_sqlite": …, …}`.
"""

import argparse
import json
import os
import statistics
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import httpx

from benchmarks.api_load import Load, Plan
from benchmarks.api_memory import listeners, memory_of_downloads
from benchmarks.api_servers import Served, Tenant, database_url, load, served, tenant

MIB = 1 << 20

#: What is promised: at least these shares of the ruler, and at most these limits.
LEAST = {"get_job": 0.5, "submit": 0.25, "download_sqlite": 0.5, "download_postgres": 0.25}
MOST = {"get_job_p99_ms": 50.0, "listing": 2.0, "download_memory_mib": 32.0, "stream_p99_s": 1.0}

_BARE = "GET /bare HTTP/1.1\r\nHost: bench\r\n\r\n"
_FILE = "GET /file HTTP/1.1\r\nHost: bench\r\n\r\n"


def in_turn(ways: Mapping[str, Plan], rounds: int) -> dict[str, list[Load]]:
    """Carry out every plan once in each round."""
    found: dict[str, list[Load]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, plan in ways.items():
            found[name].append(load(plan))
    for name, loads in found.items():
        print(f"{name:18} {_shown(loads)}", flush=True)
    return found


def ratio(found: Mapping[str, Sequence[Load]], way: str, ruler: str, *, by_bytes: bool = False) -> float:
    """The median over the rounds of a way's rate over the ruler's."""
    pairs = zip(found[way], found[ruler], strict=True)
    if by_bytes:
        return statistics.median(mine.bytes_per_second / theirs.bytes_per_second for mine, theirs in pairs)
    return statistics.median(mine.per_second / theirs.per_second for mine, theirs in pairs)


def _shown(loads: Sequence[Load]) -> str:
    rate = statistics.median(each.per_second for each in loads)
    mib = statistics.median(each.bytes_per_second for each in loads) / MIB
    p99 = statistics.median(each.p99_ms for each in loads)
    statuses = sorted({status for each in loads for status in each.statuses})
    asking = sum(each.processor_s for each in loads) / sum(each.seconds for each in loads)
    return (
        f"{rate:8.0f}/s {mib:8.1f} MiB/s  p99 {p99:7.1f} ms  answers {','.join(statuses)}  "
        f"the asker's share of a core {asking:.0%}"
    )


def requests(bare: Served, tenant: Tenant, folder: Path, options: argparse.Namespace) -> dict[str, float]:
    """Looks, submits and listings."""
    spec = tenant.spec(folder)
    headers = {"Authorization": f"Bearer {tenant.key}"}
    resolved = httpx.post(f"{tenant.service.url}/v1/jobs", json=spec, headers=headers, timeout=60).json()["spec"]
    tenant.forget_waiting()
    jobs = tenant.running_jobs(64, resolved)
    specs = [json.dumps(spec | {"name": f"job {n}", "target_sparsity": 0.5 + n / 1000}).encode() for n in range(64)]
    submits, posts = (
        [tenant.request("POST", path, each, Content_Type="application/json") for each in specs]
        for path in ("/v1/jobs", "/bare")
    )
    looks = [tenant.request("GET", f"/v1/jobs/{job}") for job in jobs]
    found: dict[str, list[Load]] = {"bare": [], "get_job": [], "bare post": [], "submit": []}
    for _ in range(options.rounds):  # the line must be as short in each round
        for name, port, asked in (
            ("bare", bare.port, [_BARE]),
            ("get_job", tenant.service.port, looks),
            ("bare post", bare.port, posts),
            ("submit", tenant.service.port, submits),
        ):
            found[name].append(load(Plan(port, asked, options.connections, options.seconds)))
        tenant.forget_waiting()
    for name, loads in found.items():
        print(f"{name:18} {_shown(loads)}", flush=True)
    listing = in_turn(dict(_listings(tenant, resolved, options)), options.rounds)
    return {
        "get_job": ratio(found, "get_job", "bare"),
        "submit": ratio(found, "submit", "bare"),
        "submit_of_post": ratio(found, "submit", "bare post"),
        "get_job_p99_ms": statistics.median(each.p99_ms for each in found["get_job"]),
        "listing": 1 / ratio(listing, "100 of many jobs", "100 of 1,000 jobs"),
    }


def _listings(like: Tenant, spec: Mapping[str, object], options: argparse.Namespace) -> Iterator[tuple[str, Plan]]:
    url = str(like.database.engine.url)
    for name, count in (("100 of 1,000 jobs", 1_000), ("100 of many jobs", options.jobs)):
        with tenant(like.service, url) as owner:
            owner.old_jobs(count, spec)
            asked = owner.request("GET", "/v1/jobs?limit=100")
            yield name, Plan(like.service.port, [asked], 1, options.seconds)


def downloads(bare: Served, tenant: Tenant, file: Path, name: str, options: argparse.Namespace) -> dict[str, float]:
    """A file from the database, and from the disk."""
    path = tenant.finished_job(_pieces(file))
    asked = tenant.request("GET", path)
    ways = {
        f"{name}: disk": Plan(bare.port, [_FILE], 4, options.seconds),
        f"{name}: database": Plan(tenant.service.port, [asked], 4, options.seconds),
    }
    found = in_turn(ways, options.rounds)
    return {f"download_{name}": ratio(found, f"{name}: database", f"{name}: disk", by_bytes=True)}


def _pieces(file: Path) -> Iterator[bytes]:
    with file.open("rb") as stream:
        while piece := stream.read(MIB):
            yield piece


def measure(kind: str, options: argparse.Namespace) -> dict[str, float]:
    """All figures of one kind of database."""
    with tempfile.TemporaryDirectory() as name, database_url(kind, Path(name)) as url:
        folder = Path(name)
        file = folder / "model.safetensors"
        with file.open("wb") as stream:  # random: what no codec makes smaller, as the weights of a dense model
            for _ in range(options.mib):
                stream.write(os.urandom(MIB))
        environment = {
            "SECATEUR_DATABASE_URL": url,
            "SECATEUR_BROKER_URL": "redis://127.0.0.1:1/0",
            "SECATEUR_TEAM_MAX_QUEUED": "100000000",
            "BENCH_FILE": str(file),
            "TMPDIR": name,
        }
        with (
            served("benchmarks.api_bare:app", folder / "bare.log", environment) as bare,
            served("api.app:create_app", folder / "api.log", environment) as service,
            tenant(service, url) as owner,
        ):
            figures = downloads(bare, owner, file, kind, options)
            if kind == "sqlite":
                figures |= memory_of_downloads(owner, options.gib)
                figures |= requests(bare, owner, folder, options)
                figures |= listeners(owner, options.listeners)
    return figures


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and say whether the promises hold."""
    parser = argparse.ArgumentParser(description="How quick the service answers, against doing nothing.")
    parser.add_argument("--rounds", type=int, default=5, help="how often each way is measured")
    parser.add_argument("--seconds", type=float, default=3.0, help="for how long each time")
    parser.add_argument("--connections", type=int, default=64, help="clients that look and submit")
    parser.add_argument("--jobs", type=int, default=100_000, help="jobs of the larger listing")
    parser.add_argument("--mib", type=int, default=64, help="size of the file that is downloaded for speed")
    parser.add_argument("--gib", type=float, default=1.0, help="what each of 8 clients downloads for memory")
    parser.add_argument("--listeners", type=int, default=500, help="listeners to events")
    parser.add_argument("--database", choices=["sqlite", "postgres", "both"], default="both")
    options = parser.parse_args(arguments)
    kinds = ["sqlite", "postgres"] if options.database == "both" else [options.database]
    figures = {name: value for kind in kinds for name, value in measure(kind, options).items()}
    held = {name: value >= LEAST[name] for name, value in figures.items() if name in LEAST}
    held |= {name: value <= MOST[name] for name, value in figures.items() if name in MOST}
    for name, good in held.items():
        print(f"{name:22} {figures[name]:8.3f}  {'kept' if good else 'MISSED'}")
    print(
        json.dumps({name: round(value, 4) for name, value in figures.items()} | {"within_limits": all(held.values())})
    )


if __name__ == "__main__":
    main()
