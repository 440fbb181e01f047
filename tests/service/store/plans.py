"""How a database will carry out what it is asked."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, event

from store import Database


@contextmanager
def plans(database: Database) -> Iterator[list[str]]:
    """Collects how the database will carry out each SELECT on jobs."""
    found: list[str] = []
    explaining = threading.local()

    def explain(connection: Connection, _: object, statement: str, parameters: object, *__: object) -> None:
        if getattr(explaining, "now", False) or not statement.startswith("SELECT") or "job" not in statement:
            return
        explaining.now = True
        prefix = "EXPLAIN" if connection.dialect.name == "postgresql" else "EXPLAIN QUERY PLAN"
        rows = connection.exec_driver_sql(f"{prefix} {statement}", parameters).all()  # type: ignore[arg-type]  # as they came
        explaining.now = False
        found.append("\n".join(str(row[-1]) for row in rows))

    event.listen(database.engine, "before_cursor_execute", explain)
    yield found
    event.remove(database.engine, "before_cursor_execute", explain)
