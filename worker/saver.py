"""Saves checkpoints while a job trains, and finds the one to go on from."""

import logging
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from store import (
    DATABASE_AWAY,
    BlobCorrupt,
    Checkpoint,
    Database,
    DatabaseBlobStore,
    Fence,
    NotFound,
    Settings,
    checkpoints_of,
    discard_checkpoint,
    publish_checkpoint,
)
from worker.files import pieces_of, write_file
from worker.reporter import Reporter, Stopped

log = logging.getLogger(__name__)

#: Saving may take this share of the time: where checkpoints are slow to write, there are fewer.
_MOST_OF_THE_TIME = 0.004
#: No fewer than one in so many intervals, whatever they cost.
_RAREST = 6
#: Of so many checkpoints the cheapest says what one costs: the others may have waited for a busy database.
_COMPARED = 3
#: After a checkpoint that did not come through, in seconds: until the next, and between tries where a stop waits.
_RETRY_S, _STOP_RETRY_S = 30.0, 0.5


class Saver:
    """Says when a checkpoint is due, and brings each into the database before training goes on.

    A stop is a checkpoint that is due at once, and the end of the run when it is safe.

    Attributes:
        interval: seconds from one to the next; grows with what they cost, within bounds.
    """

    def __init__(self, database: Database, fence: Fence, settings: Settings, reporter: Reporter) -> None:
        """Begin to count time and steps.

        Args:
            database: where checkpoints go.
            fence: the attempt that writes them.
            settings: how often, and how many are kept.
            reporter: knows the step.
        """
        self._database = database
        self._blobs = DatabaseBlobStore(database)
        self._fence = fence
        self._settings = settings
        self._reporter = reporter
        self._since = self._begun = time.monotonic()
        self.interval = settings.checkpoint_s
        self._costs: deque[float] = deque(maxlen=_COMPARED)
        self._steps = 0
        self._stop_requested = False

    def request_stop(self) -> None:
        """Save at the next step and end the run; safe in a signal handler."""
        self._stop_requested = True

    def due(self) -> bool:
        """Whether a checkpoint is to be written now; asked after every step."""
        now = time.monotonic()
        self._steps += 1
        every = self._settings.checkpoint_steps
        due = (
            self._stop_requested
            or now - self._since >= self.interval
            or (every is not None and self._steps % every == 0)
        )
        if due:
            self._begun = now
        return due

    def written(self, file: Path) -> None:
        """Publish a checkpoint; where a stop waits for it, try until it is safe or the supervisor's patience ends.

        Raises:
            Stopped: a stop was requested, and the checkpoint is safe; or the end was, whatever becomes of it.
            FenceLost: the job is another attempt's now.
        """
        while not (saved := self._publish(file)) and self._stop_requested:
            self._reporter.stop_if_asked()
            time.sleep(_STOP_RETRY_S)
        if saved:
            log.info("The checkpoint at step %d is safe.", self._reporter.step)
            self._costs.append(time.monotonic() - self._begun)
            cost = min(self._costs) / _MOST_OF_THE_TIME
            self._go_on(min(max(cost, self._settings.checkpoint_s), _RAREST * self._settings.checkpoint_s))
        else:
            self._go_on(min(_RETRY_S, self._settings.checkpoint_s))
        if self._stop_requested:
            raise Stopped

    def failed(self, error: OSError) -> None:
        """Go on without a checkpoint that could not be written here; where a stop waits for it, the next step tries.

        Raises:
            Stopped: the end of the run was requested.
        """
        log.warning("%s The run goes on without it, and tries again.", error)
        self._reporter.stop_if_asked()
        self._go_on(min(_RETRY_S, self._settings.checkpoint_s))

    def _go_on(self, interval: float) -> None:
        self._reporter.beat()
        self._since = time.monotonic()
        self.interval = interval

    def _publish(self, file: Path) -> bool:
        """Whether the checkpoint came through."""
        try:
            self._reporter.flush()
            blob = self._blobs.write(pieces_of(file))
            with self._database.write() as session:
                publish_checkpoint(
                    session, self._fence, self._reporter.step, blob, keep=self._settings.keep_checkpoints
                )
        except DATABASE_AWAY:
            log.warning("The database is away; the checkpoint could not be saved.")
            return False
        return True


class Saved:
    """The checkpoints that a job may go on from, the newest first."""

    def __init__(self, database: Database, fence: Fence, folder: Path) -> None:
        """Look for them when asked.

        Args:
            database: where they are.
            fence: the attempt that owns the job.
            folder: where they are unpacked, one at a time.
        """
        self._database = database
        self._blobs = DatabaseBlobStore(database)
        self._fence = fence
        self._file = folder / "resume.safetensors"

    def __iter__(self) -> Iterator[tuple[Checkpoint, Path]]:
        """Yield each whose bytes are what was written; those that are not are discarded."""
        with self._database.read() as session:
            saved = checkpoints_of(session, self._fence.job_id)
        for checkpoint in saved:
            try:
                write_file(self._file, self._blobs.read(checkpoint.blob_id))
            except (BlobCorrupt, NotFound) as error:
                self.discard(checkpoint, str(error))
                continue
            yield checkpoint, self._file
        self._file.unlink(missing_ok=True)

    def discard(self, checkpoint: Checkpoint, reason: str) -> None:
        """Give up one that cannot be used.

        Raises:
            FenceLost: the job is another attempt's now.
        """
        log.warning("Checkpoint %d is of no use: %s", checkpoint.number, reason)
        with self._database.write() as session:
            discard_checkpoint(session, self._fence, checkpoint.number, reason)
