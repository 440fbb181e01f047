"""The service that is abused: a uvicorn process as in production, watched from outside."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil

from store import Database, Scope, create_key, ensure_team, open_database
from store.migrate import upgrade
from tests.unit.api.uploads import bert_files, sentences

MIB = 1 << 20

#: As an operator might set them: uploads of 100 MiB, and an address that guesses keys is told to stop.
LIMITS = {"max_dataset_bytes": 100 * MIB, "max_model_bytes": 100 * MIB, "rate_limit": "100000/minute"}


@dataclass
class Victim:
    """A running service.

    Attributes:
        port: where it listens.
        process: what serves.
        database: what is behind it.
        team: of the key.
        key: may do everything.
        spec: a good job.
        accepted: paths of what it has promised to keep.
    """

    port: int
    process: psutil.Process
    database: Database
    team: str
    key: str
    spec: dict[str, object] = field(default_factory=dict)
    accepted: list[str] = field(default_factory=list)

    @property
    def client(self) -> httpx.Client:
        """A well-meant client."""
        headers = {"Authorization": f"Bearer {self.key}"}
        return httpx.Client(base_url=f"http://127.0.0.1:{self.port}", headers=headers, timeout=60)

    def settle(self) -> None:
        """Upload a model and a dataset and submit a job, which must be there when all is over."""
        with self.client as client:
            files = [("files", (path, raw)) for path, raw in bert_files().items()]
            model = client.post("/v1/models", data={"name": "tiny"}, files=files).raise_for_status().json()
            splits = [("train", ("train.csv", sentences(400))), ("validation", ("dev.csv", sentences(40)))]
            dataset = client.post("/v1/datasets", data={"name": "films"}, files=splits).raise_for_status().json()
            self.spec = {"model": model["uri"], "dataset": dataset["uri"], "method": "movement", "target_sparsity": 0.9}
            self.accepted = [model["url"], dataset["url"], self.submit(client)]

    def new_key(self) -> str:
        """One more key of the team, which is counted for itself."""
        with self.database.write() as session:
            return create_key(session, self.team, "abuse", list(Scope))[1]

    def submit(self, client: httpx.Client) -> str:
        """Submit the good job; return its path."""
        return client.post("/v1/jobs", json=self.spec).raise_for_status().headers["location"]

    def lost(self) -> list[str]:
        """What was promised and is not there."""
        with self.client as client:
            return [path for path in self.accepted if client.get(path).status_code != 200]

    def answers(self) -> bool:
        """Whether the process lives and says so within five seconds."""
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}/healthz", timeout=5).status_code == 200
        except httpx.TransportError:
            return False


class Memory:
    """Watches how much memory a process holds at most."""

    def __init__(self, process: psutil.Process) -> None:
        self._process = process
        self._ended = threading.Event()
        self.before = self.peak = process.memory_info().rss
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Memory":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(0.05):
            self.peak = max(self.peak, self._process.memory_info().rss)


@contextmanager
def serve(folder: Path, **settings: object) -> Iterator[Victim]:
    """Start a service over SQLite with a key, a model, a dataset and a job, until the block ends."""
    url = f"sqlite:///{folder / 'secateur.db'}"
    upgrade(url)
    database = open_database(url)
    with database.write() as session:
        team = ensure_team(session, "abused").id
        _, key = create_key(session, team, "abuse", list(Scope))
    chosen = {"database_url": url, "broker_url": "redis://127.0.0.1:1/0", **LIMITS, **settings}
    variables = {f"SECATEUR_{name.upper()}": str(value) for name, value in chosen.items()} | {"TMPDIR": str(folder)}
    command = [sys.executable, "-m", "uvicorn", "api.app:create_app", "--factory", "--no-access-log"]
    command += ["--http", "api.protocol:BoundedProtocol"]
    with (
        socket.create_server(("127.0.0.1", 0), backlog=2048) as server,
        (folder / "service.log").open("ab") as log,
    ):
        running = subprocess.Popen(
            [*command, "--fd", str(server.fileno())],
            env={**os.environ, **variables},
            pass_fds=[server.fileno()],
            stdout=log,
            stderr=log,
        )
        victim = Victim(server.getsockname()[1], psutil.Process(running.pid), database, team, key)
    try:
        until = time.monotonic() + 120
        while not victim.answers():
            assert running.poll() is None, (folder / "service.log").read_text()
            assert time.monotonic() < until, "The service did not come up."
            time.sleep(0.05)
        victim.settle()
        yield victim
    finally:
        running.terminate()
        running.wait(timeout=30)
        database.close()
