"""The one way to the database: short read and write sessions over SQLite or PostgreSQL."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from sqlite3 import Connection as SQLiteConnection

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import ORMExecuteState, Session
from sqlalchemy.pool import ConnectionPoolEntry

DATABASE_AWAY = (OperationalError, InterfaceError, PoolTimeout)
"""What is raised while the database cannot be reached: worth a 503, or another try."""

_BUSY_MS = 30_000


class ReadSession(Session):
    """A session that only reads. It refuses to flush, to commit and to run a statement that writes."""

    def flush(self, objects: Sequence[object] | None = None) -> None:
        """Refuse pending changes instead of dropping them silently at the end."""
        if self.new or self.deleted or self.dirty:
            raise TypeError("A ReadSession cannot write. Open the session with Database.write().")

    def commit(self) -> None:
        """Refuse: there is nothing a reader could commit."""
        raise TypeError("A ReadSession cannot commit. Open the session with Database.write().")


class WriteSession(ReadSession):
    """A session that also writes. `Database.write()` commits it once, at its end; nobody else does."""

    def flush(self, objects: Sequence[object] | None = None) -> None:
        """Write pending changes."""
        Session.flush(self, objects)

    def commit(self) -> None:
        """Commit everything at once; called by `Database.write()` alone."""
        Session.commit(self)


@event.listens_for(ReadSession, "do_orm_execute", propagate=True)
def _refuse_writing_statements(state: ORMExecuteState) -> None:
    writes = state.is_insert or state.is_update or state.is_delete
    if writes and not isinstance(state.session, WriteSession):
        raise TypeError("A ReadSession cannot write. Open the session with Database.write().")


class Database:
    """Opens sessions on one engine. Make one per process, after any fork: connections do not survive forks."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._reading = engine.execution_options(postgresql_readonly=True)
        # A SQLite transaction that reads first and writes later may find that another wrote in between, which no
        # waiting can mend. So writers take the write lock at once and busy_timeout lets them queue for it.
        self._writing = engine.execution_options(secateur_begin="BEGIN IMMEDIATE")

    @contextmanager
    def read(self) -> Iterator[ReadSession]:
        """Open a session on one snapshot-like view for reading; rows stay readable after it closes."""
        with ReadSession(self._reading, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[WriteSession]:
        """Open a session that commits once when the block ends and rolls everything back on an exception."""
        with WriteSession(self._writing, expire_on_commit=False) as session, session.begin():
            yield session

    def ping(self) -> None:
        """Return if the database answers, else raise one of `DATABASE_AWAY`."""
        with self.read() as session:
            session.execute(text("SELECT 1"))

    def close(self) -> None:
        """Close the pooled connections."""
        self.engine.dispose()


def open_database(url: str) -> Database:
    """Return the database at a URL such as `sqlite:///secateur.db` or `postgresql://user@host/name`."""
    return Database(make_engine(url))


def make_engine(url: str) -> Engine:
    """Make the engine of a URL.

    Raises:
        ValueError: The URL names neither SQLite nor PostgreSQL.
    """
    parsed = make_url(url)
    match parsed.get_backend_name():
        case "sqlite":
            return _sqlite_engine(parsed)
        case "postgresql" | "postgres":
            return create_engine(
                parsed.set(drivername="postgresql+psycopg"),
                pool_pre_ping=True,
                pool_size=10,
                max_overflow=20,
                connect_args={"connect_timeout": 5},
            )
        case other:
            raise ValueError(f"database_url: {other!r} is not supported. Use sqlite:///… or postgresql://….")


def _sqlite_engine(url: URL) -> Engine:
    engine = create_engine(url, connect_args={"timeout": _BUSY_MS / 1000})

    @event.listens_for(engine, "connect")
    def prepare(connection: SQLiteConnection, _: ConnectionPoolEntry) -> None:
        # We say BEGIN ourselves, below: left alone, sqlite3 begins late and never for reads.
        connection.isolation_level = None
        connection.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
        connection.execute("PRAGMA foreign_keys = ON")
        # FULL: an answered request survives a power cut, not only a crash of the process.
        connection.execute("PRAGMA synchronous = FULL")
        # WAL lets readers go on while one writes. It is a property of the file; asking first spares the lock.
        if connection.execute("PRAGMA journal_mode").fetchone() != ("wal",):
            connection.execute("PRAGMA journal_mode = WAL")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql(connection.get_execution_options().get("secateur_begin", "BEGIN"))

    return engine
