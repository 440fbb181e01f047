"""Time as the database sees it: leases are decided by one clock, never by the clocks of many hosts."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import DateTime, Dialect, Float, TypeDecorator
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import ColumnElement
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import literal
from sqlalchemy.sql.functions import FunctionElement


class UTCDateTime(TypeDecorator[datetime]):
    """An aware datetime in UTC on every database; SQLite, which has no such type, keeps sortable text."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse naive times, whose meaning depends on who reads them."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone. Give an aware datetime, for example in datetime.UTC.")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Give SQLite's text its zone back."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class _Clock(FunctionElement[datetime]):
    """The database's clock, moved by the seconds in its one argument."""

    type = UTCDateTime()
    inherit_cache = True


def db_now(offset_s: float = 0.0) -> ColumnElement[datetime]:
    """Return SQL for the database's time at the moment the statement runs, moved by some seconds (negative: past).

    On PostgreSQL it is `clock_timestamp()`, not `now()`: the latter stands still within a transaction, and a claim
    that waited for a lock would be given a lease that began in the past.
    """
    return _Clock(literal(offset_s, Float))


@compiles(_Clock, "postgresql")
def _on_postgresql(element: _Clock, compiler: SQLCompiler, **kw: Any) -> str:
    return f"(clock_timestamp() + make_interval(secs => {compiler.process(element.clauses, **kw)}))"


@compiles(_Clock, "sqlite")
def _on_sqlite(element: _Clock, compiler: SQLCompiler, **kw: Any) -> str:
    # SQLAlchemy stores microseconds and SQLite's %f gives milliseconds: the zeros keep both the same width, so that
    # text comparison is time comparison. (unixepoch('subsec') would need SQLite 3.42.)
    seconds = f"printf('%+.3f seconds', {compiler.process(element.clauses, **kw)})"
    return f"strftime('%Y-%m-%d %H:%M:%f000', 'now', {seconds})"
