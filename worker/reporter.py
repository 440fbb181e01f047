"""The trainer's voice: progress and metrics into the database, fenced, at most once a second; and its pulse."""

import logging
import time

from pruning_core import Progress
from store import DATABASE_AWAY, Database, Fence, record_progress
from worker.pulse import Pulse

log = logging.getLogger(__name__)

_WRITE_EVERY_S = 1.0
_LOOK_EVERY_S = 0.05
_SAY_EVERY_S = 10.0
#: The least that the newest step's time weighs in the average from which the remaining time is reckoned.
_LEAST_WEIGHT = 0.05


class Stopped(Exception):  # not an error: it says what happened
    """The run was asked to stop."""


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

    def __init__(self, database: Database, fence: Fence, pulse: Pulse) -> None:
        """Begin with nothing to report.

        Args:
            database: where progress goes.
            fence: the attempt that speaks.
            pulse: shared with the supervisor.
        """
        self._pulse = pulse
        self._database = database
        self._fence = fence
        self._pace = Pace()
        self._metrics: list[tuple[str, int, float]] = []
        self._latest: Progress | None = None
        self._tried = time.monotonic()
        self._said = float("-inf")
        self._stop_requested = False

    @property
    def step(self) -> int:
        """Optimizer steps finished, as progress counts them."""
        return 0 if self._latest is None else self._latest.step

    def request_stop(self) -> None:
        """Let the run end at its next step, with nothing saved; safe in a signal handler."""
        self._stop_requested = True

    def beat(self) -> None:
        """Show the supervisor that work goes on."""
        self._pulse.beat = time.monotonic()

    def tick(self) -> None:
        """The same, and go on only where the work is still wanted: between two steps, two batches, two matrices.

        Raises:
            Stopped: a stop was requested.
        """
        self.beat()
        # Past the lease's end the job may be another's: nothing more until the supervisor has renewed it.
        while time.monotonic() >= self._pulse.deadline and not self._stop_requested:
            time.sleep(_LOOK_EVERY_S)
        self.stop_if_asked()

    def __call__(self, progress: Progress) -> None:
        """Take note of a step.

        Raises:
            Stopped: a stop was requested.
            FenceLost: the job is another attempt's now.
        """
        now = time.monotonic()
        enters = self._latest is not None and self._latest.phase != progress.phase
        self._pace.note(progress.phase, progress.step, now)
        self._metrics += [(name, progress.phase_step, value) for name, value in progress.metrics.items()]
        self._latest = progress
        self._say(progress, now)
        self.tick()
        if enters or now - self._tried >= _WRITE_EVERY_S:
            self._tried = now
            self._try_to_write()

    def _say(self, progress: Progress, now: float) -> None:
        """A line for people: of every evaluation, and in between of a loss now and then."""
        evaluated = any("eval/" in name for name in progress.metrics)
        if not progress.metrics or not (evaluated or now - self._said >= _SAY_EVERY_S):
            return
        self._said = now
        figures = "".join(f", {name} {value:.4g}" for name, value in progress.metrics.items() if name != "density")
        log.info("Step %d of %d, density %.3f%s", progress.step, progress.total_steps, progress.density, figures)

    def stop_if_asked(self) -> None:
        """End the run if that was requested.

        Raises:
            Stopped: it was.
        """
        if self._stop_requested:
            raise Stopped

    def flush(self) -> None:
        """Write what has not been written yet.

        Raises:
            FenceLost: the job is another attempt's now.
        """
        latest = self._latest
        if latest is None:
            return
        # What comes between the steps, or after the last, takes longer than none, and nobody knows how long.
        left = latest.total_steps - latest.step
        eta_s = None if latest.phase in ("fitting", "delivering") else self._pace.seconds_for(left)
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

    def _try_to_write(self) -> None:
        try:
            self.flush()
        except DATABASE_AWAY:
            # However long: past the lease's end the run stands still, and goes on if the job is still its own.
            log.warning("The database is away; progress is kept for the next try.")
