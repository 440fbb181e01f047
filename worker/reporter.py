"""The trainer's voice: progress and metrics into the database, fenced, at most once a second."""

import logging
import time

from pruning_core import Progress
from store import DATABASE_AWAY, Database, Fence, record_progress

log = logging.getLogger(__name__)

_WRITE_EVERY_S = 1.0
#: How much the newest step's time weighs in the average that the remaining time is reckoned from.
_SMOOTHING = 0.05


class Stopped(Exception):  # not an error: it says what happened
    """The supervisor asked the run to stop."""


class Reporter:
    """Called after every optimizer step; writes what changed and raises `Stopped` when asked to stop.

    Attributes:
        stop_requested: set by the SIGTERM handler.
    """

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
        self._metrics: list[tuple[str, int, float]] = []
        self._latest: Progress | None = None
        self._written = time.monotonic()
        self._stepped = time.monotonic()
        self._step_s: float | None = None
        self.stop_requested = False

    def __call__(self, progress: Progress) -> None:
        """Take note of a step.

        Raises:
            Stopped: a stop was requested.
            FenceLost: the job is another attempt's now.
        """
        now = time.monotonic()
        if self._latest is not None and progress.step > self._latest.step:
            step_s = (now - self._stepped) / (progress.step - self._latest.step)
            self._step_s = step_s if self._step_s is None else (1 - _SMOOTHING) * self._step_s + _SMOOTHING * step_s
            self._stepped = now
        self._metrics += [(name, progress.phase_step, value) for name, value in progress.metrics.items()]
        self._latest = progress
        if self.stop_requested:
            raise Stopped
        if now - self._written >= _WRITE_EVERY_S or progress.step == progress.total_steps:
            self._write(now)

    def flush(self) -> None:
        """Write what has not been written yet."""
        self._write(time.monotonic())

    def _write(self, now: float) -> None:
        latest = self._latest
        if latest is None:
            return
        remaining = latest.total_steps - latest.step
        try:
            with self._database.write() as session:
                record_progress(
                    session,
                    self._fence,
                    step=latest.step,
                    total_steps=latest.total_steps,
                    density=latest.density,
                    phase=latest.phase,
                    eta_s=None if self._step_s is None else round(self._step_s * remaining, 1),
                    metrics=self._metrics,
                )
        except DATABASE_AWAY:
            if now - self._written > self._patience_s:
                raise
            log.warning("The database is away; progress is kept for the next try.")
            return
        self._written = now
        self._metrics = []
