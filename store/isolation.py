"""Keeps teams apart: an isolated session refuses a statement over what teams own that does not say whose it is about.

Every read, update and delete of such a table must be held, by a condition that it cannot do without, to

- one team (`Job.team_id == team_id`), the same all through the session,
- or a row that was asked for with its team before in the session (`Job.id == job_id`),
- or what hangs on such a row (`Event.job_id == job_id`), or on one of the same statement (`Event.job_id == Job.id`).

What must look across teams says so: `.execution_options(**ACROSS_TEAMS)`. The API's sessions are isolated; workers
serve all teams.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from sqlalchemy import BinaryExpression, BindParameter, Delete, Select, Table, TextClause, Update
from sqlalchemy.orm import ORMExecuteState, Session
from sqlalchemy.sql import operators, visitors
from sqlalchemy.sql.elements import BooleanClauseList, ColumnClause, Grouping

from store.tables import Base

ACROSS_TEAMS: Mapping[str, bool] = {"across_teams": True}
"""The execution options of a statement that is meant to look at what several teams own."""

_TEAM = "team_id"

Statement = Select[*tuple[Any, ...]] | Update | Delete
Column = tuple[str, str]
"""A table's and a column's name."""


class UnscopedQuery(TypeError):
    """A statement over what teams own does not say whose it is about: a fault of ours, never of a request."""

    def __init__(self, table: str) -> None:
        super().__init__(
            f"A statement reads or changes {table!r} without saying whose: hold it to a team, or mark it with "
            "ACROSS_TEAMS (store.isolation)."
        )


def _owned() -> dict[str, dict[str, Column]]:
    """Of each table that belongs to teams the columns that lead to its owner, and where each leads."""
    tables = Base.metadata.sorted_tables  # what is referred to comes before what refers
    owned: dict[str, dict[str, Column]] = {}
    for table in tables:
        ways = {
            key.parent.name: (key.column.table.name, key.column.name)
            for key in table.foreign_keys
            if key.column.table.name in owned
        }
        if ways or _TEAM in table.columns:
            owned[table.name] = ways
    return owned


OWNED = _owned()
"""Told from the tables themselves, so that a new one cannot be forgotten."""


def check(state: ORMExecuteState) -> None:
    """Refuse a statement that is held to nobody.

    Raises:
        UnscopedQuery: It is.
    """
    loads_known_rows = state.is_relationship_load or state.is_column_load
    if loads_known_rows or state.is_insert or state.execution_options.get("across_teams"):
        return
    statement = state.statement
    if isinstance(statement, TextClause):
        raise UnscopedQuery(str(statement))
    if isinstance(statement, Select | Update | Delete):
        parameters = state.parameters if isinstance(state.parameters, Mapping) else {}
        _Reading(state.session.info, parameters).check(statement)


def turn_to_another_team(session: Session) -> None:
    """Go on for another team: nothing that was asked for before holds a statement that comes now."""
    for name in ("team", "rows"):
        session.info.pop(name, None)


class _Reading:
    """One statement, read against what its session knows already: the team, and rows that were asked for with it."""

    def __init__(self, known: dict[str, object], parameters: Mapping[str, object]) -> None:
        self._known = known
        self._parameters = parameters
        self._held: set[str] = set()  # the tables that are held to the team
        self._values: dict[Column, object] = {}
        self._equal: list[tuple[Column, Column]] = []

    def check(self, statement: Statement) -> None:
        tables = self._read(statement)
        waiting = [name for name in tables if name in OWNED]
        while waiting:
            left = [name for name in waiting if not self._is_held(name)]
            if left == waiting:
                raise UnscopedQuery(left[0])
            waiting = left
        rows = self._rows()
        rows |= {(column, value) for column, value in self._values.items() if column[0] in self._held}

    def _read(self, statement: Statement) -> list[str]:
        """Take down what every part of the statement is held to; return the tables that it is about."""
        tables: dict[str, None] = {}
        for part in visitors.iterate(statement):
            if isinstance(part, Table):
                tables[part.name] = None
            elif isinstance(part, ColumnClause) and isinstance(part.table, Table):
                tables[part.table.name] = None
            if isinstance(part, Select | Update | Delete):
                self._note(_equalities(part.whereclause))
            for _, onclause, *_ in getattr(part, "_setup_joins", ()):  # SQLAlchemy has no public name for them
                self._note(_equalities(onclause))
        return list(tables)

    def _note(self, equalities: Iterable[BinaryExpression[Any]]) -> None:
        for each in equalities:
            left, right = _column(each.left), _column(each.right)
            if left and right:
                self._equal += [(left, right), (right, left)]
            elif left and isinstance(each.right, BindParameter):
                self._values[left] = self._parameters.get(each.right.key, each.right.effective_value)

    def _is_held(self, table: str) -> bool:
        """Whether the statement holds a table to the team, as far as is known by now."""
        ways = OWNED[table]
        if (table, _TEAM) in self._values:
            team = self._values[table, _TEAM]
            held = team is not None and self._known.setdefault("team", team) == team
        else:
            held = (
                ((table, "id"), self._values.get((table, "id"))) in self._rows()
                or any((way, self._values.get((table, name))) in self._rows() for name, way in ways.items())
                or any(((table, name), way) in self._equal and way[0] in self._held for name, way in ways.items())
            )
        if held:
            self._held.add(table)
        return held

    def _rows(self) -> set[tuple[Column, object]]:
        rows = self._known.setdefault("rows", set())
        assert isinstance(rows, set)
        return rows


def _equalities(condition: object) -> Iterator[BinaryExpression[Any]]:
    """The equations without which a condition does not hold."""
    if isinstance(condition, Grouping):
        yield from _equalities(condition.element)
    elif isinstance(condition, BooleanClauseList) and condition.operator is operators.and_:
        for clause in condition.clauses:
            yield from _equalities(clause)
    elif isinstance(condition, BinaryExpression) and condition.operator is operators.eq:
        yield condition


def _column(side: object) -> Column | None:
    if isinstance(side, ColumnClause) and isinstance(side.table, Table):
        return side.table.name, side.name
    return None
