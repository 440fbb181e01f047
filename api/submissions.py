"""Stores jobs, as many in one transaction as were submitted while the last one was committed."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby, islice

import structlog

from api.batches import Batches
from api.problems import Unavailable
from store import (
    DATABASE_AWAY,
    Call,
    Database,
    IdempotencyConflict,
    Job,
    Place,
    QueueFull,
    Submission,
    Submitted,
    create_jobs,
    places_of,
    record_calls,
    turn_to_another_team,
)

log = structlog.get_logger(__name__)

#: So many go into one transaction at most.
_AT_A_TIME = 200

#: So long a submit waits for its turn, in seconds. A transaction waits for a busy database, and those behind it would
#: wait for each one before theirs.
PATIENCE_S = 10.0


@dataclass(frozen=True)
class Submit:
    """A checked submit.

    Attributes:
        team_id: whose.
        submission: what is to be stored.
        call: what the audit log is to say of it, but for the job's id.
    """

    team_id: str
    submission: Submission
    call: Call


@dataclass(frozen=True)
class Accepted:
    """A stored job, and where it stands; None where that could not be told."""

    job: Job
    place: Place | None


_Outcome = Accepted | IdempotencyConflict | QueueFull | Exception


class Submissions:
    """Stores jobs from a thread of its own, each with its entry in the audit log.

    Submits that come together share a transaction, its commit and most of its statements. What is wrong with one of
    them is told to that one only.
    """

    def __init__(self, database: Database, max_queued: int | None, max_running: int | None) -> None:
        """Begin with nothing.

        Args:
            database: where jobs are stored.
            max_queued: the limit of waiting jobs of teams without one of their own; None is no limit.
            max_running: their limit of running jobs.
        """
        self._database = database
        self._max_queued = max_queued
        self._max_running = max_running
        self._waiting: dict[asyncio.Future[Accepted], Submit] = {}
        self._under_way = 0
        self._batches: Batches[Sequence[Submit], Sequence[_Outcome]] = Batches("submissions", self._store_each, 1)

    async def store(self, submit: Submit) -> Accepted:
        """Store a job; return when it is committed.

        Raises:
            IdempotencyConflict: The key was used for another body.
            QueueFull: The team has as many waiting jobs as it may.
            IntegrityError: Its model or dataset was deleted.
            Unavailable: The database is too busy. Nothing is stored.
        """
        loop = asyncio.get_running_loop()
        told: asyncio.Future[Accepted] = loop.create_future()
        self._waiting[told] = submit
        if len(self._waiting) == 1:
            loop.call_soon(self._begin)  # after all that came at the same moment
        enough = loop.call_later(PATIENCE_S, self._give_up, told)
        try:
            return await told
        finally:
            enough.cancel()
            self._waiting.pop(told, None)

    def close(self) -> None:
        """Store what waits, unless the database keeps us waiting."""
        while self._waiting:
            self._hand_over()
        self._batches.close()

    def _begin(self) -> None:
        """Have stored what waits, unless something is being stored: then it is the next."""
        if self._waiting and not self._under_way:
            self._hand_over()

    def _hand_over(self) -> None:
        batch = dict(islice(self._waiting.items(), _AT_A_TIME))
        for told in batch:
            del self._waiting[told]
        try:
            stored = asyncio.wrap_future(self._batches.put(list(batch.values())))
        except Exception as error:  # noqa: BLE001 - whatever it is, nothing is stored, and those who wait are told
            _tell(list(batch), [error] * len(batch))
            return
        self._under_way += 1
        stored.add_done_callback(partial(self._end, list(batch)))

    def _end(self, waiting: Sequence["asyncio.Future[Accepted]"], stored: "asyncio.Future[Sequence[_Outcome]]") -> None:
        self._under_way -= 1
        error = stored.exception()
        _tell(waiting, stored.result() if error is None else [error] * len(waiting))
        self._begin()

    def _give_up(self, told: "asyncio.Future[Accepted]") -> None:
        if self._waiting.pop(told, None):
            why = "The database is busy right now, and nothing was stored. Try again in a moment."
            told.set_exception(Unavailable(why))

    def _store_each(self, batches: Sequence[Sequence[Submit]]) -> Sequence[Sequence[_Outcome]]:
        return [self._store(batch) for batch in batches]

    def _store(self, submits: Sequence[Submit]) -> Sequence[_Outcome]:
        try:
            return self._store_together(submits)
        except DATABASE_AWAY:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the one that it is about is told
            if len(submits) == 1:
                return [error]
        # One spoils it for all. This is rare, so each tries by itself, as long as there is a database to try.
        outcomes: list[_Outcome] = []
        for number, submit in enumerate(submits):
            try:
                outcomes += self._store([submit])
            except DATABASE_AWAY as error:
                return outcomes + [error] * (len(submits) - number)
        return outcomes

    def _store_together(self, submits: Sequence[Submit]) -> Sequence[_Outcome]:
        created: dict[int, Submitted | IdempotencyConflict | QueueFull] = {}
        with self._database.write() as session:
            for team_id, numbers in _by_team(submits).items():
                turn_to_another_team(session)
                theirs = [submits[number].submission for number in numbers]
                created |= zip(numbers, create_jobs(session, team_id, theirs, max_queued=self._max_queued), strict=True)
            calls = [
                replace(submits[number].call, target_id=each.job.id)
                for number, each in created.items()
                if isinstance(each, Submitted)
            ]
            record_calls(session, calls)
        places = self._places([each for each in created.values() if isinstance(each, Submitted)])
        outcomes = (created[number] for number in range(len(submits)))
        return [
            Accepted(each.job, places.get(each.job.id)) if isinstance(each, Submitted) else each for each in outcomes
        ]

    def _places(self, stored: Sequence[Submitted]) -> dict[str, Place]:
        """Where jobs stand. They are stored, whatever becomes of that."""

        def together(submitted: Submitted) -> str:
            return submitted.job.id if submitted.replayed else submitted.job.team_id

        places: dict[str, Place] = {}
        try:
            with self._database.read() as session:
                for _, group in groupby(stored, key=together):
                    turn_to_another_team(session)
                    places |= places_of(session, [each.job for each in group], self._max_running)
        except Exception as error:  # noqa: BLE001 - to say that it went wrong would have them submitted twice
            log.warning("places_not_told", error=str(error).partition("\n")[0])
        return places


def _tell(waiting: Sequence["asyncio.Future[Accepted]"], outcomes: Sequence[Accepted | BaseException]) -> None:
    for told, outcome in zip(waiting, outcomes, strict=True):
        if told.done():  # whoever asked has left
            continue
        if isinstance(outcome, Accepted):
            told.set_result(outcome)
        else:
            told.set_exception(outcome)


def _by_team(submits: Sequence[Submit]) -> dict[str, list[int]]:
    """The numbers of each team's; teams in the one order in which all API processes lock them."""
    numbers: dict[str, list[int]] = {}
    for number in sorted(range(len(submits)), key=lambda number: submits[number].team_id):
        numbers.setdefault(submits[number].team_id, []).append(number)
    return numbers
