"""The trainer's voice: progress and metrics into the database, fenced, at most once a second."""

import logging
import time

from pruning_core import Progress
from store import DATABASE_AWAY, Database, Fence, record_progress

log = logging.getLogger(__name__)

_WRITE_EVERY_S = 1.0
#: The least that the newest step's time weighs in the average from which the remaining time is reckoned.
_LEAST_WEIGHT = 0.05


class Stopped(Exception):  # not an error: it says what happened
    """The supervisor asked the run to stop."""


class Pace:
    """The time a step takes: the mean of the first steps, then an average that follows the newer ones.

    Steps that begin a phase are left out: what happens before them (loading, compiling, a last evaluation) does not
    happen again.
    """

    def __init__(self) -> None:
        """Know nothing yet."""
        self._last: tuple[str, int, float] | None = None
        self._measured = 0
        self._step_s: float | None = None

    def note(self, phase: str, step: int, now: float) -> None:
        """Take note that `step` of `phase` ended at `now`, in seconds."""
        if self._last is not None and self._last[0] == phase and step > self._last[1]:
            self._measured += 1
            step_s = (now - self._last[2]) / (step - self._last[1])
            weight = max(_LEAST_WEIGHT, 1 / self._measured)
            self._step_s = step_s if self._step_s is None else self._step_s + weight * (step_s - self._step_s)
        self._last = (phase, step, now)

    def seconds_for(self, steps: int) -> float | None:
        """How long so many steps will take; None while that cannot be told."""
        return None if self._step_s is None else self._step_s * steps


class Reporter:
    """Called after every optimizer step; writes what changed and raises `Stopped` when asked to stop."""

    def __init__(self, database: Database, fence: Fence, patience_s: float) -> None:
        """Begin with nothing to report.

        Args:
            database: where progress goes.
            fence: the attempt that speaks.
            patience_s: how long the database may be away before that ends the run.
        """
        self._database = database
        self._fence = fence
        self._patience_s = patience_s
        self._pace = Pace()
        self._metrics: list[tuple[str, int, float]] = []
        self._latest: Progress | None = None
        self._tried = time.monotonic()
        self._away_since: float | None = None
        self._stop_requested = False

    def request_stop(self) -> None:
        """Let the run end at its next step; safe in a signal handler."""
        self._stop_requested = True

    def __call__(self, progress: Progress) -> None:
        """Take note of a step.

        Raises:
            Stopped: a stop was requested.
            FenceLost: the job is another attempt's now.
        """
        now = time.monotonic()
        self._pace.note(progress.phase, progress.step, now)
        self._metrics += [(name, progress.phase_step, value) for name, value in progress.metrics.items()]
        self._latest = progress
        if self._stop_requested:
            raise Stopped
        if now - self._tried >= _WRITE_EVERY_S:
            self._tried = now
            self._try_to_write(now)

    def flush(self) -> None:
        """Write what has not been written yet.

        Raises:
            FenceLost: the job is another attempt's now.
        """
        latest = self._latest
        if latest is None:
            return
        eta_s = self._pace.seconds_for(latest.total_steps - latest.step)
        with self._database.write() as session:
            record_progress(
                session,
                self._fence,
                step=latest.step,
                total_steps=latest.total_steps,
                density=latest.density,
                phase=latest.phase,
                eta_s=None if eta_s is None else round(eta_s, 1),
                metrics=self._metrics,
            )
        self._metrics = []

    def _try_to_write(self, now: float) -> None:
        try:
            self.flush()
        except DATABASE_AWAY:
            if self._away_since is None:
                self._away_since = now
            if now - self._away_since > self._patience_s:
                raise
            log.warning("The database is away; progress is kept for the next try.")
        else:
            self._away_since = None
