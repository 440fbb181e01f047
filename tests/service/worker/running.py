"""Real processes for the engine's tests: with their whole tree, their log, and nothing left at the end."""

import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil


def until(
    condition: Callable[[], object], patience_s: float = 120.0, told: Callable[[], str] = str, every_s: float = 0.03
) -> None:
    """Wait until something is so; `every_s` where it takes long, for each look takes time from what is waited for."""
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline, f"It did not happen within {patience_s:g} s.\n{told()}"
        time.sleep(every_s)


class Running:
    """A process with its tree and its log."""

    def __init__(self, command: list[str], environment: dict[str, str], folder: Path, log: Path) -> None:
        self._log = log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                command, env=environment, cwd=folder, stdout=output, stderr=output, start_new_session=True
            )
        self._seen: dict[int, psutil.Process] = {}

    def log(self) -> str:
        """What it and its children have printed."""
        return self._log.read_text(errors="replace")

    def tree(self) -> list[psutil.Process]:
        """The process and all that come from it."""
        with suppress(psutil.NoSuchProcess):
            top = psutil.Process(self.process.pid)
            for each in [top, *top.children(recursive=True)]:
                self._seen[each.pid] = each
        return [each for each in self._seen.values() if lives(each)]

    def trainers(self) -> list[psutil.Process]:
        """Its training processes."""
        return [each for each in self.tree() if "worker.trainer" in command_of(each)]

    def signal(self, number: signal.Signals, *, whole_tree: bool = False) -> None:
        """Send a signal to the process, or to all of its tree at once."""
        for each in self.tree() if whole_tree else [psutil.Process(self.process.pid)]:
            with suppress(psutil.NoSuchProcess):
                each.send_signal(number)

    def ends(self, within_s: float = 20.0) -> int:
        """Wait for its end, see that nothing of its tree is left, and return the exit code."""
        self.tree()
        code = self.process.wait(timeout=within_s)
        until(lambda: not self.tree(), 5.0, lambda: f"left behind: {[command_of(each) for each in self.tree()]}")
        return code

    def close(self) -> None:
        """Kill whatever is left."""
        for each in self.tree():
            with suppress(psutil.NoSuchProcess):
                each.kill()
        self.process.wait()


@contextmanager
def frozen(running: Running) -> Iterator[None]:
    """A process tree that stands still, as on a host that was suspended."""
    running.signal(signal.SIGSTOP, whole_tree=True)
    yield
    running.signal(signal.SIGCONT, whole_tree=True)


def lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def command_of(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""
