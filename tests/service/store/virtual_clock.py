"""A clock that the test moves, in place of the database's own: leases lapse in no time, and to the very millisecond.

The store asks the database for the time, so the database must be told another: SQLite by a function of the name that
the store's SQL calls, PostgreSQL by one that is found before the built-in. The store itself knows nothing of it.
"""

import sqlite3
from datetime import UTC, datetime

from sqlalchemy import event, text
from sqlalchemy.pool import ConnectionPoolEntry

from store import Database

_ON_POSTGRESQL = (
    "CREATE TABLE IF NOT EXISTS virtual_now (moment timestamptz)",
    """CREATE OR REPLACE FUNCTION public.clock_timestamp() RETURNS timestamptz
       LANGUAGE sql VOLATILE AS 'SELECT moment FROM public.virtual_now'""",
    "DELETE FROM virtual_now",
    "INSERT INTO virtual_now VALUES (:now)",
)


class VirtualClock:
    """The time of one database, which stands still until somebody waits."""

    def __init__(self, database: Database) -> None:
        """Take over the clock of a database that nobody has connected to yet."""
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self._database = database
        self._on_sqlite = database.engine.dialect.name == "sqlite"
        if self._on_sqlite:
            self._builtin = sqlite3.connect(":memory:", check_same_thread=False)
            event.listen(database.engine, "connect", self._replace_on_sqlite)
        else:
            self._replace_on_postgresql()

    def wait_until(self, moment: datetime) -> None:
        """Let time pass until a moment, in whole milliseconds: finer than that, SQLite's clock cannot tell."""
        self.now = max(self.now, moment)
        if not self._on_sqlite:
            with self._database.engine.begin() as connection:
                connection.execute(text("UPDATE virtual_now SET moment = :now"), {"now": self.now})

    def close(self) -> None:
        """Close what the clock itself opened."""
        if self._on_sqlite:
            self._builtin.close()

    def _replace_on_sqlite(self, connection: sqlite3.Connection, _: ConnectionPoolEntry) -> None:
        def strftime(layout: str, moment: str, modifier: str) -> str:
            assert moment == "now", "the store asks for no other time"
            # the built-in does all but say when now is
            asked = (layout, self.now.strftime("%Y-%m-%d %H:%M:%S.%f"), modifier)
            (answer,) = self._builtin.execute("SELECT strftime(?, ?, ?)", asked).fetchone()
            return str(answer)

        connection.create_function("strftime", 3, strftime)
        connection.execute("PRAGMA synchronous = OFF")  # nothing here needs to survive a power cut

    def _replace_on_postgresql(self) -> None:
        with self._database.engine.begin() as connection:
            for statement in _ON_POSTGRESQL:
                connection.execute(text(statement), {"now": self.now} if ":now" in statement else {})
            name = connection.execute(text("SELECT current_database()")).scalar_one()
            connection.execute(text(f'ALTER DATABASE "{name}" SET search_path = public, pg_catalog'))
        self._database.engine.dispose()  # the new path is for new connections
