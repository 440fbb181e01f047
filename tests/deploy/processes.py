"""Starts a container's command on this machine and stops it as Docker would."""

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

PATIENCE_S = 30.0


@dataclass(frozen=True)
class Running:
    """A process in a session of its own, its output in a file."""

    process: subprocess.Popen[bytes]
    log: Path

    def output(self) -> str:
        """What it has printed so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def wait_until(self, ready: Callable[[], bool]) -> None:
        """Ask again and again; fail with the output when the process ends before, or takes too long."""
        deadline = time.monotonic() + PATIENCE_S
        while not ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"It did not become ready:\n{self.output()}")
            time.sleep(0.05)

    def stop(self) -> None:
        """Send SIGTERM and check that it ends in time, by itself or by the signal."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=PATIENCE_S)
        assert code in {0, -signal.SIGTERM}, self.output()


@contextmanager
def running(command: Sequence[str], environment: Mapping[str, str]) -> Iterator[Running]:
    """A command while it runs; whatever it left behind is killed at the end."""
    with tempfile.NamedTemporaryFile(suffix=".log") as log:
        process = subprocess.Popen(
            command,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            yield Running(process, Path(log.name))
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
