"""`secateur` as a user runs it: in processes of their own."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

START_S = 120.0


def until(condition: Callable[[], object], patience_s: float = 120.0) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline, f"It did not happen within {patience_s:g} s."
        time.sleep(0.05)


@dataclass(frozen=True)
class Finished:
    """What a command printed and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> object:
        """What it printed on stdout, which is one JSON document and nothing else."""
        value: object = json.loads(self.out)
        return value


def environment(data_dir: Path) -> dict[str, str]:
    """The environment of a user whose data directory this is."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SECATEUR_")}
    # Rich wraps and colours for the terminal it finds; here there is none, and sentences stay whole.
    # One thread: what is trained here is smaller than the cost of sharing it.
    ours = {"SECATEUR_DATA_DIR": str(data_dir), "SECATEUR_WEBHOOK_ALLOW": "127.0.0.1"}
    return kept | ours | {"COLUMNS": "200", "NO_COLOR": "1", "OMP_NUM_THREADS": "1"}


def command(*words: str) -> list[str]:
    """The command line of `secateur`, for this interpreter."""
    return [sys.executable, "-m", "secateur", *words]


def secateur(data_dir: Path, *words: str, stdin: str = "", timeout: float = 120.0) -> Finished:
    """Run a command to its end."""
    done = subprocess.run(
        command(*words),
        env=environment(data_dir),
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
    )
    return Finished(done.returncode, done.stdout, done.stderr)


class Up:
    """A running `secateur up`."""

    def __init__(self, data_dir: Path, *options: str) -> None:
        self.data_dir = data_dir
        data_dir.parent.mkdir(parents=True, exist_ok=True)
        self.err = data_dir.with_suffix(".stderr")
        with self.err.open("w") as err:
            self.process = subprocess.Popen(
                command("up", "--port", "0", "--data-dir", str(data_dir), *options, "--json"),
                env=environment(data_dir),
                stdout=subprocess.PIPE,
                stderr=err,
                text=True,
                start_new_session=True,
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.err.read_text()
        self.url: str = json.loads(line)["url"]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.stop()
        assert self.process.stdout is not None
        self.process.stdout.close()

    @property
    def key(self) -> str:
        """The admin key."""
        return (self.data_dir / "admin.key").read_text().strip()

    def family(self) -> list[psutil.Process]:
        """Every process it has started, however indirectly."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def child(self, *words: str) -> psutil.Process:
        """Its own child whose command line has these words."""
        [found] = [
            process
            for process in psutil.Process(self.process.pid).children()
            if all(word in " ".join(process.cmdline()) for word in words)
        ]
        return found

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """Ask it to stop and return its exit code."""
        self.process.send_signal(number)
        return self.process.wait(timeout=90)


def living(processes: list[psutil.Process]) -> list[str]:
    """Those that still run, as command lines."""
    found = []
    for process in processes:
        try:
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(" ".join(process.cmdline()))
        except psutil.NoSuchProcess:
            continue
    return found


def shown(service: Up, *words: str) -> str:
    """What a command prints for people."""
    finished = secateur(service.data_dir, *words)
    assert finished.code == 0, finished.err
    return finished.out


def printed(service: Up, *words: str) -> Any:
    """What the same command prints for programs."""
    finished = secateur(service.data_dir, *words, "--json")
    assert finished.code == 0, finished.err
    return finished.json
