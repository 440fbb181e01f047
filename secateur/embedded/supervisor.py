"""Keeping the service's processes alive: what is restarted, when to give up, in which order all of them stop."""

import itertools
import time
from collections.abc import Callable, Sequence
from threading import Event

from secateur.embedded.child import Child

# A process that lived this long had started well: its end is an accident, not a misconfiguration.
SETTLED_S = 30.0
QUICK_DEATHS = 5
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
LOOK_S = 0.1


class _Care:
    """A child and its record."""

    def __init__(self, child: Child) -> None:
        self.child = child
        self.quick_deaths = 0
        self.restart_at: float | None = None


class Supervisor:
    """Starts, restarts and stops children; everything but `kill_all` belongs to one thread.

    Args:
        notice: Told one sentence when a child has died.
        kill_now: When set, a stop no longer waits for anybody.
    """

    def __init__(self, notice: Callable[[str], None], kill_now: Event) -> None:
        self._notice = notice
        self._kill_now = kill_now
        self._cares: list[_Care] = []

    @property
    def pids(self) -> dict[str, int]:
        """The process ids of the children that run, by name."""
        return {care.child.program.name: pid for care in self._cares if (pid := care.child.pid) is not None}

    def start(self, child: Child) -> None:
        """Start a child and care for it from now on."""
        self._cares.append(_Care(child))
        child.start()

    def insist(self) -> None:
        """While the service starts, nothing is restarted: whatever dies then is misconfigured.

        Raises:
            ChildFailed: A child has died.
        """
        for care in self._cares:
            if not care.child.runs:
                raise care.child.failure()

    def tend(self) -> None:
        """Look after every child once: restart what has died, each time after a longer pause.

        Raises:
            ChildFailed: A child died again and again, soon after each start.
        """
        now = time.monotonic()
        for care in self._cares:
            if care.restart_at is not None:
                if now >= care.restart_at:
                    care.restart_at = None
                    care.child.start()
            elif care.child.runs:
                if now - care.child.started_at > SETTLED_S:
                    care.quick_deaths = 0
            else:
                self._mourn(care, now)

    def stop_all(self) -> None:
        """Stop the children turn by turn, and kill those that take longer than their grace."""
        children = sorted((care.child for care in self._cares), key=_stop_turn)
        for _, together in itertools.groupby(children, _stop_turn):
            self._stop(list(together))

    def _stop(self, children: Sequence[Child]) -> None:
        for child in children:
            child.terminate()
        asked_at = time.monotonic()
        for child in children:
            grace_s = child.program.grace_s
            while child.runs and time.monotonic() < asked_at + grace_s and not self._kill_now.is_set():
                time.sleep(LOOK_S)
            if child.runs and not self._kill_now.is_set():
                self._notice(f"The {child.program.name} did not stop within {grace_s:g} s; it is killed.")
            # Also after an orderly end: nothing it started may outlive it.
            child.kill()

    def _mourn(self, care: _Care, now: float) -> None:
        child = care.child
        # What it started would go on without it: a worker's pool child, beside that of the new worker.
        child.kill()
        care.quick_deaths += 1
        if care.quick_deaths >= QUICK_DEATHS:
            raise child.failure(f"{child.ending()} for the {care.quick_deaths}th time in a row")
        pause = min(FIRST_PAUSE_S * 2 ** (care.quick_deaths - 1), LONGEST_PAUSE_S)
        self._notice(f"The {child.program.name} {child.ending()}; starting it again in {pause:g} s (log: {child.log}).")
        care.restart_at = now + pause


def _stop_turn(child: Child) -> int:
    return child.program.stop_turn
