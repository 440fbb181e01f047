"""Brings in what specs name, away from the threads that answer requests: a slow hub holds up nobody else."""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from api.sources.problems import Fetching, SourceRefused
from api.sources.uris import External, Kind

#: So many sources are fetched at once by one process.
_AT_ONCE = 4
#: How long a result waits for whoever asked for it to come back.
_KEPT_S = 120.0


@dataclass(frozen=True)
class Stored:
    """A source that is in the team's store.

    Attributes:
        id: of the model or dataset there.
        uri: its name, with the commit or sha256.
    """

    id: str
    uri: str


@dataclass(frozen=True)
class Fetched:
    """What became of the sources of a spec.

    Attributes:
        stored: by kind and by URI as the spec has it.
        refused: why others cannot be had.
    """

    stored: Mapping[tuple[Kind, str], Stored] = field(default_factory=dict)
    refused: Mapping[tuple[Kind, str], str] = field(default_factory=dict)


#: Where a spec names none.
NOTHING = Fetched()

Job = Callable[[Kind, External], Stored]
"""Takes one source in; runs in a thread of its own."""


class Fetches:
    """The sources that are on their way."""

    def __init__(self, wait_s: float) -> None:
        """Begin with none.

        Args:
            wait_s: how long a request waits for its sources.
        """
        self._wait_s = wait_s
        self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="fetch")
        self._running: dict[tuple[str, Kind, str], tuple[Future[Stored], float]] = {}

    def close(self) -> None:
        """Begin nothing more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def fetch(self, team_id: str, named: Mapping[tuple[Kind, str], External], work: Job) -> Fetched:
        """Have all sources of a spec taken in, or go on doing so when the time is over.

        Args:
            team_id: for whom.
            named: the sources by kind and URI.
            work: takes one in.

        Raises:
            Fetching: Some are still on their way.
            Unavailable: The hub does not answer.
        """
        self._forget()
        futures = {(kind, uri): self._begun(team_id, kind, source, work) for (kind, uri), source in named.items()}
        await _done(futures.values(), self._wait_s)
        missing = [uri for (_, uri), future in futures.items() if not future.done()]
        if missing:
            raise Fetching(
                f"{missing[0]} is still being fetched. Nothing is stored yet; send the same request again in some "
                "seconds.",
                retry_after_s=5,
            )
        stored: dict[tuple[Kind, str], Stored] = {}
        refused: dict[tuple[Kind, str], str] = {}
        for key, future in futures.items():
            self._running.pop((team_id, key[0], str(named[key])), None)
            try:
                stored[key] = future.result()
            except SourceRefused as error:
                refused[key] = str(error)
        return Fetched(stored, refused)

    def _begun(self, team_id: str, kind: Kind, source: External, work: Job) -> "Future[Stored]":
        key = (team_id, kind, str(source))
        if key not in self._running:
            self._running[key] = self._threads.submit(work, kind, source), time.monotonic()
        return self._running[key][0]

    def _forget(self) -> None:
        """Drop results that nobody came back for."""
        old = time.monotonic() - _KEPT_S
        for key, (future, begun) in list(self._running.items()):
            if future.done() and begun < old:
                del self._running[key]


async def _done(futures: "Iterable[Future[Stored]]", wait_s: float) -> None:
    """Return when all are done, or when the time is over; how they ended is for others to ask."""
    waiting = {asyncio.wrap_future(future) for future in futures}
    for each in waiting:
        each.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
    await asyncio.wait(waiting, timeout=wait_s)
