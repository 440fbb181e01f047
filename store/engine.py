"""The one way to the database: short read and write sessions over SQLite or PostgreSQL."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from sqlite3 import Connection as SQLiteConnection

from sqlalchemy import Connection, Engine, create_engine, event, select
from sqlalchemy.engine import URL, ExceptionContext, make_url
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import ORMExecuteState, Session
from sqlalchemy.pool import ConnectionPoolEntry

from store import isolation
from store.documents import as_json

DATABASE_AWAY = (OperationalError, InterfaceError, PoolTimeout)
"""What is raised while the database cannot be reached: worth a 503, or another try."""

_BUSY_MS = 30_000

LONGEST_SILENCE_MS = 10_000
"""PostgreSQL ends a transaction whose client says nothing for so long: a host that froze or was cut off within one
would keep its locks for hours, and with them its job, whose lease has long run out."""

LONGEST_LOCK_WAIT_MS = 20_000
"""PostgreSQL gives up waiting for a lock after so long, which is answered like a database that is away: requests that
wait for ever would take all the threads of an API."""

_AWAY = frozenset({"25P03", "25006"})
"""What PostgreSQL calls the first of these (idle_in_transaction_session_timeout), and a server that only reads: one
whose disk is full, or that another has taken over from."""

_LIVENESS = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 25_000}
"""When libpq gives up a server that its host's end or a cut cable took away without a word: after 25 seconds. The
kernel's own patience is two hours, for which a worker would hold its GPU."""


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


@event.listens_for(ReadSession, "do_orm_execute", propagate=True)
def _keep_teams_apart(state: ORMExecuteState) -> None:
    if state.session.info.get("isolated"):
        isolation.check(state)


class Database:
    """Opens sessions on one engine. Make one per process, after any fork: connections do not survive forks."""

    def __init__(self, engine: Engine, *, isolated: bool = False) -> None:
        """Take over an engine.

        Args:
            engine: the database's.
            isolated: refuse statements over what teams own that do not say whose (`store.isolation`).
        """
        self.engine = engine
        self._isolated = isolated
        self._reading = engine.execution_options(postgresql_readonly=True)
        # A SQLite transaction that reads first and writes later may find that another wrote in between, which no
        # waiting can mend. So writers take the write lock at once and busy_timeout lets them queue for it.
        self._writing = engine.execution_options(secateur_begin="BEGIN IMMEDIATE")

    @contextmanager
    def read(self) -> Iterator[ReadSession]:
        """Open a session on one snapshot-like view for reading; rows stay readable after it closes."""
        with ReadSession(self._reading, expire_on_commit=False, info=self._info()) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[WriteSession]:
        """Open a session that commits once when the block ends and rolls everything back on an exception."""
        with WriteSession(self._writing, expire_on_commit=False, info=self._info()) as session, session.begin():
            yield session

    def ping(self) -> None:
        """Return if the database answers, else raise one of `DATABASE_AWAY`."""
        with self.read() as session:
            session.execute(select(1))

    def close(self) -> None:
        """Close the pooled connections."""
        self.engine.dispose()

    def _info(self) -> dict[str, object]:
        return {"isolated": self._isolated}


def open_database(url: str, *, isolated: bool = False) -> Database:
    """Return the database at a URL such as `sqlite:///secateur.db` or `postgresql://user@host/name`.

    Args:
        url: the database's.
        isolated: refuse statements over what teams own that do not say whose (`store.isolation`).
    """
    return Database(make_engine(url), isolated=isolated)


def make_engine(url: str, *, patient: bool = False) -> Engine:
    """Make the engine of a URL.

    Args:
        url: the database's.
        patient: wait for PostgreSQL's locks for as long as it takes.

    Raises:
        ValueError: The URL names neither SQLite nor PostgreSQL.
    """
    parsed = make_url(url)
    match parsed.get_backend_name():
        case "sqlite":
            return _sqlite_engine(parsed)
        case "postgresql" | "postgres":
            return _postgres_engine(parsed, patient)
        case other:
            raise ValueError(f"database_url: {other!r} is not supported. Use sqlite:///… or postgresql://….")


def _postgres_engine(url: URL, patient: bool) -> Engine:
    engine = create_engine(
        url.set(drivername="postgresql+psycopg"),
        hide_parameters=True,  # what users send has no place in a log
        json_serializer=as_json,
        pool_pre_ping=True,
        pool_size=10,
        max_overflow=20,
        connect_args={
            "connect_timeout": 5,
            **{name: value for name, value in _LIVENESS.items() if name not in url.query},
            "options": _options(url, patient),
        },
    )

    @event.listens_for(engine, "handle_error")
    def see_that_it_is_away(context: ExceptionContext) -> Exception | None:
        # The driver files these under internal errors; to us they are more ways in which the database went away.
        error = context.original_exception
        if getattr(error, "sqlstate", None) not in _AWAY or _may_only_read(context):
            return None
        context.is_disconnect = True
        return OperationalError(context.statement, context.parameters, error, connection_invalidated=True)

    return engine


def _may_only_read(context: ExceptionContext) -> bool:
    """Whether it was a reader who wrote: that is our own mistake."""
    return bool(context.connection and context.connection.get_execution_options().get("postgresql_readonly"))


def _options(url: URL, patient: bool) -> str:
    """What PostgreSQL is to keep to in our sessions; options that the URL names come last, and so count."""
    ours = f"-c idle_in_transaction_session_timeout={LONGEST_SILENCE_MS}"
    if not patient:
        ours += f" -c lock_timeout={LONGEST_LOCK_WAIT_MS}"
    theirs = url.query.get("options", "")
    return " ".join([ours, theirs if isinstance(theirs, str) else " ".join(theirs)]).strip()


def _sqlite_engine(url: URL) -> Engine:
    engine = create_engine(
        url, hide_parameters=True, json_serializer=as_json, connect_args={"timeout": _BUSY_MS / 1000}
    )

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
