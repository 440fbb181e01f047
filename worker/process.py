"""The training process as its supervisor sees it: started, asked, watched, killed, and described when it has ended."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from enum import IntEnum
from pathlib import Path

from pruning_core.environment import QUICK_STEPS
from store import Claim
from worker.pulse import Pulse

_LOG_TAIL_BYTES = 8192
#: What is kept of the output when it has grown too long.
_KEPT_LOG_BYTES = 2**20
#: A trainer that prints without end must not fill the disk.
_LONGEST_LOG_BYTES = 8 * 2**20


#: The file of the pulse in an attempt's scratch folder.
PULSE = "pulse"


class TrainerExit(IntEnum):
    """The trainer's exit codes; anything else is a crash."""

    RECORDED = 0  # the trainer wrote the job's end itself
    STOPPED = 75  # it stopped because it was asked to (EX_TEMPFAIL)
    FENCED = 76  # its writes changed nothing: the job is another's


class Trainer:
    """A training process in a session of its own, whose output goes to `trainer.log` in its scratch folder.

    Attributes:
        pulse: what it and we tell each other all the time.
    """

    def __init__(self, claim: Claim, scratch: Path, variables: Mapping[str, str], deadline: float) -> None:
        """Start it.

        Args:
            claim: what it works on.
            scratch: its folder.
            variables: of its environment, which say what devices it has.
            deadline: until when the job is surely its own (CLOCK_MONOTONIC), should we stand still from here on.

        Raises:
            OSError: it could not be started.
        """
        assignment = scratch / "assignment.json"
        assignment.write_text(json.dumps(asdict(claim)), encoding="utf-8")
        temporary = scratch / "tmp"
        temporary.mkdir()
        self.pulse = Pulse(scratch / PULSE)
        self.pulse.deadline = deadline
        self._cut = 0
        self._log = scratch / "trainer.log"
        with self._log.open("ab") as output:  # appending, so that it can be cut while it is written
            self._process = subprocess.Popen(
                [sys.executable, "-m", "worker.trainer", str(assignment)],
                stdin=subprocess.PIPE,  # the lifeline: it closes when we die
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment_of(variables, temporary),
                start_new_session=True,
            )

    @property
    def exit_code(self) -> int:
        """How it ended; negative: by which signal."""
        code = self._process.returncode
        assert code is not None, "It has not ended."
        return code

    def runs(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    def wait(self, seconds: float) -> None:
        """Return when it ends, or after so many seconds."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)

    def ask_to_save(self) -> None:
        """Ask it to write a checkpoint and end (SIGTERM)."""
        self._signal_group(signal.SIGTERM)

    def ask_to_leave(self) -> None:
        """Ask it to end, with nothing saved: SIGUSR1, because whoever starts us in the background may ignore SIGINT."""
        self._signal_group(signal.SIGUSR1)

    def freeze(self) -> None:
        """Let its process group stand still (SIGSTOP)."""
        self._signal_group(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on (SIGCONT)."""
        self._signal_group(signal.SIGCONT)

    def kill(self) -> None:
        """End its process group, also what it left behind there."""
        self._signal_group(signal.SIGKILL)
        self._process.wait()
        assert self._process.stdin is not None
        self._process.stdin.close()

    def trim_log(self) -> None:
        """Cut the log down to its tail when it has grown too long."""
        with suppress(OSError):  # a full disk or a swept /tmp: the log alone is not worth a job
            if (size := self._log.stat().st_size) > _LONGEST_LOG_BYTES:
                tail = self._last_output(_KEPT_LOG_BYTES)
                os.truncate(self._log, 0)
                with self._log.open("ab") as file:
                    file.write(tail)
                self._cut += size - len(tail)

    def output(self) -> tuple[str, int]:
        """The end of what it has printed, and how many bytes it has printed in all."""
        try:
            return _text(self._last_output(_KEPT_LOG_BYTES)), self._cut + self._log.stat().st_size
        except OSError:
            return "", 0

    def log_tail(self) -> str:
        """Its last words."""
        return _text(self._last_output(_LOG_TAIL_BYTES))

    def _last_output(self, most: int) -> bytes:
        if not self._log.exists():
            return b""
        with self._log.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - most))
            return file.read(most)

    def _signal_group(self, sig: signal.Signals) -> None:
        # PermissionError: macOS, while zombies are left of the group.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, sig)


def environment_of(variables: Mapping[str, str], temporary: Path) -> dict[str, str]:
    """The environment of a trainer.

    Args:
        variables: which say what devices it has.
        temporary: where its temporary files go, so that nothing of a killed trainer stays behind.
    """
    own = {
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "PYTHONUNBUFFERED": "1",
        "TMPDIR": str(temporary),
    }
    return QUICK_STEPS | dict(os.environ) | dict(variables) | own  # whoever started us knows better than the first


def _text(output: bytes) -> str:
    return output.decode("utf-8", errors="replace")


def describe_exit(code: int, log_tail: str = "") -> str:
    """What an exit code says, for the people who read the job; with the trainer's last line, which names the error."""
    if code >= 0:
        lines = log_tail.strip().splitlines()
        last = f" Its last words: {lines[-1].strip()[:500]}" if lines else ""
        return f"The trainer ended with exit code {code}.{last}"
    if -code == signal.SIGKILL:
        return (
            "The trainer was killed (SIGKILL) by something outside: an operator, or a container's limit of memory. If "
            "it happens again, lower batch_size or max_length."
        )
    try:
        return f"The trainer was ended by {signal.Signals(-code).name}."
    except ValueError:  # real-time signals have numbers only
        return f"The trainer was ended by signal {-code}."
