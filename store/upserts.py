"""INSERT … ON CONFLICT, which both databases spell alike and SQLAlchemy keeps in two dialects."""

from sqlalchemy.dialects import postgresql, sqlite

from store.engine import WriteSession
from store.tables import Base


def insert_into(session: WriteSession, table: type[Base]) -> sqlite.Insert:
    """Return the session's own kind of INSERT; the two take the same conflict clauses, so one type stands for both."""
    if session.get_bind().dialect.name == "postgresql":
        return postgresql.insert(table)  # type: ignore[return-value]  # same methods, no common base in SQLAlchemy
    return sqlite.insert(table)
