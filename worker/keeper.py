"""Keeps a lease: a thread that asks the database, so that a database that hangs cannot hang who watches the trainer."""

import threading
import time

import structlog

from store import DATABASE_AWAY, Database, Fence, LeaseAnswer, Settings, keep_log, peek, renew
from worker.process import Trainer

log = structlog.get_logger(__name__)


def safe_until(renewed: float, settings: Settings) -> float:
    """The moment after which a job may be another's: a little before its lease's end, to be still in time.

    Args:
        renewed: when the claim, or the last renewal that came through, was sent (CLOCK_MONOTONIC).
        settings: how long a lease lasts, and how often the supervisor looks.
    """
    lease, poll = settings.lease_s, settings.poll_s
    return renewed + lease - max(lease / 10, min(2 * poll, lease / 4))


class LeaseKeeper:
    """Renews the lease of one attempt, and between two renewals looks for requests.

    Attributes:
        answer: the database's last word.
        renewed: when the claim, or the last renewal that came through, was sent (CLOCK_MONOTONIC): the lease lasts from
            then at least.
    """

    def __init__(self, database: Database, fence: Fence, settings: Settings, trainer: Trainer, since: float) -> None:
        """Start to keep a lease that has just been given.

        Args:
            database: opened in this process.
            fence: whose lease.
            settings: how long it lasts, how often it is renewed and looked at.
            trainer: whose output goes into the database on the way.
            since: when the lease was asked for.
        """
        self.answer = LeaseAnswer.KEEP
        self.renewed = since
        self._database = database
        self._fence = fence
        self._settings = settings
        self._trainer = trainer
        self._logged = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="lease-keeper", daemon=True)
        self._thread.start()

    @property
    def safe_until(self) -> float:
        """The moment after which the job may be another's, as far as is known."""
        return safe_until(self.renewed, self._settings)

    def stop(self) -> None:
        """Ask no more. A question that hangs is left alone: it ends with the database, or with this process."""
        self._done.set()
        self._thread.join(self._settings.poll_s)

    def _keep(self) -> None:
        while not self._done.wait(self._settings.poll_s):
            try:
                self._ask()
            except DATABASE_AWAY as error:
                log.warning("database_away", job=self._fence.job_id, error=str(error.__cause__ or error))
            except Exception:  # were this thread to end, the trainer would stand still for good
                log.exception("lease_not_kept", job=self._fence.job_id)
            if self.answer in (LeaseAnswer.LOST, LeaseAnswer.ENDED):
                return

    def _ask(self) -> None:
        """Renew the lease if it is time, else only look."""
        now = time.monotonic()
        if now - self.renewed < self._settings.renew_s:
            with self._database.read() as reading:
                self.answer = peek(reading, self._fence)
            return
        with self._database.write() as session:
            answer = renew(session, self._fence, self._settings.lease_s)
        self.answer, self.renewed = answer, now
        self.write_log()

    def write_log(self) -> None:
        """Put the trainer's output into the database, if there is anything new."""
        text, printed = self._trainer.output()
        if printed <= self._logged:  # less: its folder is gone, and what is known of it must not go, too
            return
        with self._database.write() as session:
            keep_log(session, self._fence, text, printed)
        self._logged = printed
