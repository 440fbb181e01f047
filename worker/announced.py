"""The trainer's way to the database, which shows the supervisor when it must not be stopped."""

from collections.abc import Iterator
from contextlib import contextmanager

from store import Database, WriteSession
from store.engine import make_engine
from worker.pulse import Pulse


class AnnouncedDatabase(Database):
    """A database whose writers say so in the pulse, for as long as others may wait for their locks."""

    def __init__(self, url: str, pulse: Pulse) -> None:
        """Connect when asked.

        Args:
            url: the database's.
            pulse: shared with the supervisor.
        """
        super().__init__(make_engine(url))
        self._pulse = pulse

    @contextmanager
    def write(self) -> Iterator[WriteSession]:
        """As every database's, and seen in the pulse."""
        self._pulse.writing = True
        try:
            with super().write() as session:
                yield session
        finally:
            self._pulse.writing = False
