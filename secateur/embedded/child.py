"""One process of the embedded service: started tied to this one, in its own session, with its own log."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from secateur.errors import ChildFailed

TETHER = Path(__file__).with_name("tether.py")
TAIL_LINES = 15
TAIL_BYTES = 8192


@dataclass(frozen=True)
class Program:
    """What to run.

    Attributes:
        name: What people and the log file call it.
        command: The argument list; the first is a path.
        env: Its whole environment.
        grace_s: How long it may take to stop when asked.
        stop_turn: When it is asked: programs of the same turn stop together, after those of the turns before.
        listener: A socket it takes over, if any.
    """

    name: str
    command: Sequence[str]
    env: Mapping[str, str]
    grace_s: float = 10.0
    stop_turn: int = 0
    listener: int | None = None


def tethered(command: Sequence[str]) -> list[str]:
    """The command, run so that it ends with the thread that starts it (see `tether.py`)."""
    # -I -S: the tether needs nothing of this environment, and starts in a few milliseconds without it.
    return [sys.executable, "-I", "-S", str(TETHER), str(os.getpid()), *command]


class Child:
    """A program that is running, or was.

    `start` must be called from a thread that lives as long as the program shall.
    """

    def __init__(self, program: Program, directory: Path, log: Path) -> None:
        self.program = program
        self.log = log
        self._directory = directory
        self._log_start = 0
        self._process: subprocess.Popen[bytes] | None = None
        self.started_at = 0.0

    def start(self) -> None:
        """Run the program; its output goes to the end of its log."""
        with os.fdopen(os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as log:
            self._log_start = os.fstat(log.fileno()).st_size
            self._process = subprocess.Popen(
                tethered(self.program.command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._directory,
                env=self.program.env,
                # Its own session: Ctrl-C in the terminal reaches us alone, and we stop the rest in order.
                start_new_session=True,
                pass_fds=() if self.program.listener is None else (self.program.listener,),
                umask=0o077,
            )
        self.started_at = time.monotonic()

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return None if self._process is None or self._process.poll() is not None else self._process.pid

    @property
    def runs(self) -> bool:
        """Whether it is running."""
        return self.pid is not None

    def wait(self) -> int:
        """Wait for its end, and return its exit code."""
        return -signal.SIGKILL if self._process is None else self._process.wait()

    def terminate(self) -> None:
        """Ask it to stop."""
        if self._process is not None:
            self._process.terminate()

    def kill(self) -> None:
        """End it and whatever it started in its session's first group, at once; harmless where it has ended."""
        if self._process is None:
            return
        # Refused where the whole group has ended (PermissionError: macOS, while zombies are left of it).
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def failure(self, how: str | None = None) -> ChildFailed:
        """The error that tells how it ended."""
        return ChildFailed(self.program.name, how or self.ending(), self.log, self._tail())

    def ending(self) -> str:
        """How it ended, as the end of a sentence."""
        code = None if self._process is None else self._process.poll()
        if code is None:
            return "has not ended"
        return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"

    def _tail(self) -> str:
        """The last lines it wrote since it was started."""
        try:
            with self.log.open("rb") as file:
                end = file.seek(0, os.SEEK_END)
                file.seek(max(self._log_start, end - TAIL_BYTES))
                text = file.read().decode(errors="replace")
        except OSError as error:
            return f"(the log cannot be read: {error.strerror})"
        return "\n".join(text.rstrip().splitlines()[-TAIL_LINES:])


def run_once(program: Program, directory: Path, log: Path) -> None:
    """Run a program that ends by itself, and wait for it.

    Raises:
        ChildFailed: It ended with an error.
    """
    child = Child(program, directory, log)
    child.start()
    if child.wait() != 0:
        raise child.failure()
