"""Small writes beside the requests' own, many at a time: one thread, one transaction for all that wait."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import Empty, SimpleQueue

import structlog

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
        self._queue: SimpleQueue[tuple[Write, Future[None]] | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def enter(self, write: Write) -> Future[None]:
        """Hand over a write and return at once; the future says when it is committed, or why it is not."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name="journal", daemon=True)
                self._thread.start()
        done: Future[None] = Future()
        self._queue.put((write, done))
        return done

    def close(self) -> None:
        """Write what waits, unless the database keeps us waiting."""
        self._queue.put(None)
        if self._thread is not None:
            self._thread.join(timeout=5)

    def _serve(self) -> None:
        while (first := self._queue.get()) is not None:
            entries = [first]
            ends = False
            while len(entries) < _AT_A_TIME and not ends:
                try:
                    entry = self._queue.get_nowait()
                except Empty:
                    break
                ends = entry is None
                if entry is not None:
                    entries.append(entry)
            self._write(entries)
            if ends:
                return

    def _write(self, entries: list[tuple[Write, Future[None]]]) -> None:
        try:
            with self._database.write() as session:
                for write, _ in entries:
                    write(session)
        except Exception as error:  # noqa: BLE001 - whatever it is, those who wait are told, and the thread goes on
            log.warning("journal_failed", entries=len(entries), error=str(error).partition("\n")[0])
            for _, done in entries:
                done.set_exception(error)
        else:
            for _, done in entries:
                done.set_result(None)
