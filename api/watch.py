"""Tells all who follow jobs in this process when one changes: the database is asked once for all of them."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import structlog
from anyio import CapacityLimiter, to_thread

from api.problems import Unauthenticated
from store import DATABASE_AWAY, Database, Event, Job, changes_of, live_keys, versions_of

log = structlog.get_logger(__name__)

#: Between two looks, in seconds, and after one that the database did not answer.
EVERY_S, AWAY_S = 0.25, 1.0


@dataclass(frozen=True)
class Change:
    """A job as it is now.

    Attributes:
        job: None if it is gone.
        events: those the listener had not seen, oldest first.
    """

    job: Job | None
    events: Sequence[Event]


@dataclass(eq=False)
class _Listener:
    """Somebody who knows a job up to a version and an event, and waits for more."""

    job_id: str
    version: int
    seq: int
    key_id: str
    told: asyncio.Future[Change | None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Watch:
    """One look every quarter of a second at the jobs that are followed, and at who follows; none while nobody does."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._listeners: set[_Listener] = set()
        self._looking: asyncio.Task[None] | None = None
        self._hurry = asyncio.Event()
        self._thread = CapacityLimiter(1)
        self.stopped = False

    def stop(self) -> None:
        """Let nobody wait any longer: the process is about to end, and others answer those who ask again."""
        self.stopped = True
        for listener in self._listeners:
            if not listener.told.done():
                listener.told.set_result(None)

    async def next(self, job_id: str, version: int, seq: int, timeout_s: float, *, key_id: str) -> Change | None:
        """Wait until a job is no longer what the caller knows.

        Args:
            job_id: a job that the caller may see.
            version: what it knows; 0 is told of the job at once.
            seq: the last event it knows.
            timeout_s: seconds to wait at most.
            key_id: the key that the caller showed.

        Returns:
            The job and the events since; None if nothing changed, or this was stopped.

        Raises:
            Unauthenticated: The key was revoked, or has expired meanwhile.
        """
        if self.stopped:
            return None
        listener = _Listener(job_id, version, seq, key_id)
        self._listeners.add(listener)
        if version == 0:
            self._hurry.set()
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        try:
            return await asyncio.wait_for(listener.told, timeout_s)
        except TimeoutError:
            return None
        finally:
            self._listeners.discard(listener)

    async def _look(self) -> None:
        while self._listeners:
            self._hurry.clear()
            try:
                await self._tell()
                pause = EVERY_S
            except DATABASE_AWAY as error:
                log.warning("database_error", error=str(error).partition("\n")[0], kind=type(error).__name__)
                pause = AWAY_S
            with suppress(TimeoutError):
                await asyncio.wait_for(self._hurry.wait(), pause)

    async def _tell(self) -> None:
        waiting = tuple(self._listeners)
        found, live = await to_thread.run_sync(self._changes, waiting, limiter=self._thread)
        for listener in waiting:
            change = found.get(listener.job_id)
            if listener.told.done():
                continue
            if listener.key_id not in live:
                listener.told.set_exception(Unauthenticated("This key was revoked or has expired meanwhile."))
            elif change is None:
                continue
            elif change.job is None or change.job.version != listener.version:
                events = [event for event in change.events if event.seq > listener.seq]
                listener.told.set_result(Change(change.job, events))

    def _changes(self, waiting: Sequence[_Listener]) -> tuple[Mapping[str, Change], Collection[str]]:
        """What has become of the jobs of which a listener knows another version, and which keys are still good."""
        with self._database.read() as session:
            versions = versions_of(session, {listener.job_id for listener in waiting})
            seen: dict[str, int] = {}
            for listener in waiting:
                if versions.get(listener.job_id) != listener.version:
                    seen[listener.job_id] = min(listener.seq, seen.get(listener.job_id, listener.seq))
            changed = changes_of(session, seen)
            live = live_keys(session, {listener.key_id for listener in waiting})
        return {job_id: Change(*changed.get(job_id, (None, ()))) for job_id in seen}, live
