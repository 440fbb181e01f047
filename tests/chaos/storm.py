"""Injects faults at random moments while jobs run, and times how long the jobs take to go on."""

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tests.chaos.faults import Fault
from tests.chaos.jobs import Submitter
from tests.chaos.stage import Stage
from tests.chaos.watcher import Look, Watcher

#: A job that has not gone on by then counts as stuck. Two minutes of it are the longest waits after crashes.
PATIENCE_S = 300.0
#: How often the next fault does not wait for the recovery from one that ended attempts.
_HASTE = 0.15
_TICK_S = 0.1


@dataclass
class Injection:
    """A fault that was injected.

    Attributes:
        fault: its name.
        open_jobs: the jobs that had not ended when it was.
        ended_at: when its cause was gone, on the monotonic clock.
        affected: the jobs whose recovery is timed; None: it is the API's that is timed.
        recovery_s: seconds until all of them had made a step or ended, or until the API answered; None: not yet.
    """

    fault: str
    open_jobs: frozenset[str]
    ended_at: float
    affected: frozenset[str] | None
    recovery_s: float | None = None
    _before: Mapping[str, tuple[int, str | None]] | None = field(default=None, repr=False)

    def notice(self, look: Look, answered_at: float) -> None:
        """Take note of where the jobs are, and whether they have gone on."""
        if self.affected is None:
            if answered_at > self.ended_at:
                self.recovery_s = answered_at - self.ended_at
        elif look.began_at >= self.ended_at:
            # That a job waits or runs again is no progress yet; a step is.
            steps = {job_id: (look.jobs[job_id].step, look.jobs[job_id].phase) for job_id in self.affected}
            self._before = self._before or steps
            if all(look.jobs[job_id].ended or steps[job_id] != self._before[job_id] for job_id in self.affected):
                self.recovery_s = look.at - self.ended_at


class Storm:
    """Injects every fault about equally often, in an order and at moments that a seed decides."""

    def __init__(
        self,
        stage: Stage,
        submitter: Submitter,
        watcher: Watcher,
        chance: random.Random,
        tell: Callable[[str], None],
    ) -> None:
        self._stage = stage
        self._submitter = submitter
        self._watcher = watcher
        self._chance = chance
        self._tell = tell
        self.injections: list[Injection] = []

    def run(self, possible: Sequence[Fault], count: int, until_s: float) -> None:
        """Inject so many faults, or as many as can be until a moment of the monotonic clock."""
        for fault in self._deck(possible):
            if len(self.injections) == count or time.monotonic() > until_s:
                return
            self._wait(lambda: bool(self._watcher.latest.live), PATIENCE_S)
            self._wait(lambda: False, self._chance.uniform(0.0, 4.0))
            self._inject(fault)
            if fault.harsh and self._chance.random() >= _HASTE:
                self._wait(lambda: not self._pending(), PATIENCE_S)

    def calm(self) -> None:
        """Let every job end; give up when for long none has gone on."""
        # Whether the API answers is told by the submitter's next request: it must not end before.
        self._wait(lambda: all(each.affected is not None for each in self._pending()), PATIENCE_S)
        self._submitter.ask_to_stop()
        self._wait(lambda: not self._submitter.is_alive(), PATIENCE_S)
        waiting_for = set(self._submitter.accepted)
        jobs = self._watcher.latest.jobs
        since = time.monotonic()
        while waiting_for and time.monotonic() - since < PATIENCE_S:
            self._wait(lambda: False, 1.0)
            if self._watcher.latest.jobs != jobs:
                jobs, since = self._watcher.latest.jobs, time.monotonic()
            waiting_for -= {job_id for job_id, job in jobs.items() if job.ended}

    def _inject(self, fault: Fault) -> None:
        before = self._watcher.latest
        hit = fault.inject(self._stage, self._chance)
        ended_at = time.monotonic()
        open_jobs = frozenset(id_ for id_, job in before.jobs.items() if not job.ended)
        affected = hit.jobs or before.live or open_jobs
        timed = None if fault.affected == "api" else affected
        self.injections.append(Injection(fault.name, open_jobs | affected, ended_at, timed))
        self._tell(f"{len(self.injections):4d}  {fault.name}")

    def _deck(self, possible: Sequence[Fault]) -> Iterator[Fault]:
        while True:
            yield from self._chance.sample(possible, k=len(possible))

    def _pending(self) -> list[Injection]:
        return [each for each in self.injections if each.recovery_s is None and not self._is_stuck(each)]

    def _is_stuck(self, injection: Injection) -> bool:
        return time.monotonic() - injection.ended_at > PATIENCE_S

    def _wait(self, condition: Callable[[], bool], patience_s: float) -> None:
        """Wait until something is so, while time passes on the stage; go on regardless when patience is at its end."""
        deadline = time.monotonic() + patience_s
        while not condition() and time.monotonic() < deadline:
            self._tick()
            time.sleep(_TICK_S)

    def _tick(self) -> None:
        self._stage.revive()
        for thread in (self._watcher, self._submitter):
            if thread.trouble is not None:
                raise thread.trouble
        for injection in self._pending():
            injection.notice(self._watcher.latest, self._submitter.answered_at)
