"""The rounds of a reconciler: how they follow each other, and what one that fails leaves to the next."""

import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import structlog

from store import DATABASE_AWAY, Database, Settings
from store.usage import present

log = structlog.get_logger(__name__)


def repeat(one_round: Callable[[], None], database: Database, settings: Settings, stop: threading.Event) -> None:
    """Make one round after the other until a stop.

    While the database was away nobody could renew a lease, and all of them may have run out; so they may when its clock
    was set ahead, or its host slept. Then their owners have the first call: the next round waits for as long as it
    takes workers to renew.
    """
    contact = _Contact(database, settings.renew_s)
    is_away = False
    while not stop.is_set():
        was_away, is_away = is_away, True
        with patience():
            if contact.was_lost() or was_away:
                log.warning("leases_may_be_renewed", for_s=settings.renew_s)
                if stop.wait(settings.renew_s):
                    return
            one_round()
            is_away = False
        stop.wait(settings.reconcile_s)


def each_in_turn(parts: Sequence[Callable[[], None]]) -> None:
    """Do the parts of a round. What breaks one of them is logged, and keeps nobody from the others.

    Raises:
        OperationalError, …: the database is away (`DATABASE_AWAY`).
    """
    for part in parts:
        try:
            part()
        except DATABASE_AWAY:
            raise
        except Exception:  # a dead worker's job must not wait until somebody has mended a file's row
            log.exception("part_of_round_broke", part=str(part))


@contextmanager
def patience() -> Iterator[None]:
    """Whatever a missing database ends is left to the next round."""
    try:
        yield
    except DATABASE_AWAY as error:
        log.warning("database_away", error=str(error.__cause__ or error))


class _Contact:
    """Whether owners of leases had as much time as these say."""

    def __init__(self, database: Database, longest_s: float) -> None:
        self._database = database
        self._longest_s = longest_s
        self._ahead = math.inf  # how far its clock was before ours (CLOCK_MONOTONIC) when it answered last

    def was_lost(self) -> bool:
        """Whether the database kept a writer waiting for too long, or its clock has run ahead since the last time."""
        asked = time.monotonic()
        with self._database.write() as session:
            moment = present(session).timestamp()
        answered = time.monotonic()
        before, self._ahead = self._ahead, moment - answered
        return max(answered - asked, self._ahead - before) >= self._longest_s
