"""Small writes beside the requests' own, many at a time: one thread, one transaction for all that wait."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future

import structlog

from api.batches import Batches
from store import Database, WriteSession

log = structlog.get_logger(__name__)

Write = Callable[[WriteSession], None]

#: So many go into one transaction at most.
_AT_A_TIME = 200


class Journal:
    """Writes what it is handed from a thread of its own.

    Those who wait for it share a commit, so that many requests at once cost the disk little more than one.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._batches = Batches("journal", self._write, _AT_A_TIME)

    def enter(self, write: Write) -> Future[None]:
        """Hand over a write and return at once; the future says when it is committed, or why it is not."""
        return self._batches.put(write)

    def close(self) -> None:
        """Write what waits, unless the database keeps us waiting."""
        self._batches.close()

    def _write(self, writes: Sequence[Write]) -> Sequence[None]:
        try:
            with self._database.write() as session:
                for write in writes:
                    write(session)
        except Exception as error:
            log.warning("journal_failed", entries=len(writes), error=str(error).partition("\n")[0])
            raise
        return [None] * len(writes)
