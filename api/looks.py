"""Answers many looks at jobs with one: those who ask while the database is being asked share the next look."""

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from anyio import CapacityLimiter, to_thread

from store import Database, Job, JobStatus, NotFound, Place, jobs_across, place_of, versions_of

#: So many jobs are kept, as they were when somebody last looked.
_KEPT = 2_000
#: Seconds from a look to the next. Without it a busy process looks for few at a time, and each look takes the
#: interpreter from those who are being answered: with 64 clients it answers a third less.
_PAUSE_S = 0.003


@dataclass(slots=True)
class Sight:
    """A job as it was seen.

    Attributes:
        job: itself.
        place: where it stands in the line; None unless it waits.
        shown: the answer that shows it, once somebody has made one.
    """

    job: Job
    place: Place | None = None
    shown: bytes | None = None


class Looks:
    """Shows jobs as they are: never older than the request that asks.

    A request waits for a look that begins after it came. While one look runs, and some milliseconds after, others
    gather for the next; so polls by many clients cost one short transaction, a statement for the versions, and one more
    for jobs that have changed.
    """

    def __init__(self, database: Database, max_running: int | None) -> None:
        """Begin without any.

        Args:
            database: asked.
            max_running: the limit of running jobs of teams without one of their own; None is no limit.
        """
        self._database = database
        self._max_running = max_running
        self._asked: dict[str, asyncio.Future[Sight | None]] = {}
        self._looking: asyncio.Task[None] | None = None
        self._thread = CapacityLimiter(1)
        self._kept: OrderedDict[str, Sight] = OrderedDict()

    async def at(self, team_id: str, job_id: str) -> Sight:
        """A team's job.

        Raises:
            NotFound: The team has no such job.
        """
        if (told := self._asked.get(job_id)) is None:
            told = self._asked[job_id] = asyncio.get_running_loop().create_future()
            if self._looking is None:
                self._looking = asyncio.create_task(self._look())
        seen = await asyncio.shield(told)
        if seen is None or seen.job.team_id != team_id:
            raise NotFound("job", job_id)
        return seen

    async def _look(self) -> None:
        try:
            while self._asked:
                asked, self._asked = self._asked, {}
                try:
                    seen = await to_thread.run_sync(self._see, tuple(asked), limiter=self._thread)
                except BaseException as error:
                    for told in asked.values():
                        told.set_exception(error if isinstance(error, Exception) else asyncio.CancelledError())
                        told.exception()  # whoever asked may have left
                    if not isinstance(error, Exception):
                        raise
                else:
                    for job_id, told in asked.items():
                        told.set_result(seen.get(job_id))
                await asyncio.sleep(_PAUSE_S)
        finally:
            self._looking = None

    def _see(self, job_ids: Iterable[str]) -> Mapping[str, Sight]:
        """The jobs there are, whoever's: `at` shows each to its own team only."""
        with self._database.read() as session:
            versions = versions_of(session, set(job_ids))
            changed = [each for each, version in versions.items() if not self._has(each, version)]
            self._kept |= {job_id: Sight(job) for job_id, job in jobs_across(session, changed).items()}
            seen = {}
            for job_id in versions:
                if (sight := self._kept.get(job_id)) is None:
                    continue  # it was deleted between the statements
                self._kept.move_to_end(job_id)
                if sight.job.status is JobStatus.QUEUED:  # its place is another each time
                    sight = Sight(sight.job, place_of(session, sight.job, self._max_running))
                seen[job_id] = sight
        while len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return seen

    def _has(self, job_id: str, version: int) -> bool:
        kept = self._kept.get(job_id)
        return kept is not None and kept.job.version == version
