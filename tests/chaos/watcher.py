"""Looks at the database many times a second, with plain SQL: how far each job is, and whether one ever runs twice."""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy import NullPool, create_engine, text
from sqlalchemy.exc import InterfaceError, OperationalError

TERMINAL: Final = frozenset({"succeeded", "failed", "cancelled"})
_EVERY_S = 0.2
_JOBS = text("SELECT id, status, step, phase FROM job")
_LIVE = text("SELECT job_id, count(*) AS attempts FROM attempt WHERE ended_at IS NULL GROUP BY job_id")


@dataclass(frozen=True)
class JobNow:
    """How far a job is."""

    status: str
    step: int
    phase: str | None

    @property
    def ended(self) -> bool:
        """Whether it has ended."""
        return self.status in TERMINAL


@dataclass(frozen=True)
class Look:
    """What was seen at one moment.

    Attributes:
        began_at: when the database was asked, on the monotonic clock.
        at: when it had answered.
        jobs: every job, by id.
        live: the ids of jobs with a live attempt.
    """

    began_at: float
    at: float
    jobs: Mapping[str, JobNow]
    live: frozenset[str]


class Watcher(threading.Thread):
    """Keeps the latest look, and every job that was ever seen with two live attempts."""

    def __init__(self, database_url: str) -> None:
        super().__init__(name="watcher", daemon=True)
        self.latest = Look(0.0, 0.0, {}, frozenset())
        self.looks = 0
        self.seen_twice: set[str] = set()
        self.trouble: BaseException | None = None
        # A connection for each look: the server is restarted under our feet.
        url = database_url.replace("postgresql://", "postgresql+psycopg://")
        self._engine = create_engine(url, poolclass=NullPool)
        self._stop_requested = threading.Event()

    def stop(self) -> None:
        """Look no more."""
        self._stop_requested.set()
        self.join()
        self._engine.dispose()

    def run(self) -> None:
        """Look until stopped."""
        while not self._stop_requested.wait(_EVERY_S):
            try:
                self._look()
            except (OperationalError, InterfaceError):
                pass  # the database is away, as it shall be now and then
            except BaseException as error:  # noqa: BLE001 - kept for the main thread, which raises it
                self.trouble = error
                return

    def _look(self) -> None:
        began_at = time.monotonic()
        with self._engine.connect() as connection:
            live = {row.job_id: row.attempts for row in connection.execute(_LIVE)}
            jobs = {job_id: JobNow(status, step, phase) for job_id, status, step, phase in connection.execute(_JOBS)}
        self.seen_twice |= {job_id for job_id, attempts in live.items() if attempts > 1}
        self.latest = Look(began_at, time.monotonic(), jobs, frozenset(live))
        self.looks += 1
