"""Keyset pages: a cursor names the last row seen, so that new rows neither repeat nor hide others."""

import base64
import binascii
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Generic, Literal, TypeVar, cast

from sqlalchemy import Select, tuple_
from sqlalchemy.orm import InstrumentedAttribute

from store.documents import JsonValue
from store.engine import ReadSession
from store.errors import InvalidCursor
from store.tables import AuditEntry, Dataset, Delivery, Job, Key, Model, Sweep, Webhook

Sort = Literal[
    "created_at", "-created_at", "finished_at", "-finished_at", "priority", "-priority",
    "name", "-name", "quality", "-quality",
]  # fmt: skip
"""What rows are ordered by: rising, or with `-` falling. Equal ones go by id, and those without a value come last."""

Value = datetime | int | float | str

_KINDS: Mapping[str, type[Value]] = MappingProxyType(
    {"created_at": datetime, "finished_at": datetime, "priority": int, "name": str, "quality": float}
)
_LARGEST = 2**31
"""PostgreSQL compares an integer column with none larger."""

Row = TypeVar("Row", Job, Dataset, Model, Sweep, Key, AuditEntry, Webhook, Delivery)


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """Some rows, and the cursor that continues after them, or None at the end."""

    data: Sequence[Row]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class Order:
    """What a listing shows, and in which order: a cursor is good for this alone."""

    sort: Sort
    filters: JsonValue = None

    @property
    def column(self) -> str:
        """The column that comes before the id."""
        return self.sort.removeprefix("-")

    @property
    def digest(self) -> str:
        """A few characters that differ for other orders and filters."""
        return hashlib.sha256(json.dumps([self.sort, self.filters]).encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last row of a page: its value of the column that the listing goes by, and its id."""

    value: Value | None
    id: str

    def encode(self, order: Order) -> str:
        """Return the opaque form that clients send back."""
        value = self.value.astimezone(UTC).isoformat() if isinstance(self.value, datetime) else self.value
        document = json.dumps([order.digest, value, self.id], ensure_ascii=False)
        return base64.urlsafe_b64encode(document.encode()).decode().rstrip("=")

    @classmethod
    def decode(cls, opaque: str, order: Order) -> "Cursor":
        """Read a cursor given out for the same listing.

        Raises:
            InvalidCursor: It is not one of ours, or belongs to another order or other filters.
        """
        try:
            padded = opaque.encode("ascii") + b"=" * (-len(opaque) % 4)
            digest, value, id_ = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
            if _KINDS[order.column] is datetime and value is not None:
                moment = datetime.fromisoformat(value)
                value = moment.astimezone(UTC) if moment.tzinfo else value
        except (binascii.Error, ValueError, TypeError, OverflowError) as error:
            raise InvalidCursor from error
        if digest != order.digest or not _is_text(id_) or not (value is None or _is_value(value, order.column)):
            raise InvalidCursor
        return cls(value, id_)


def page_of(
    session: ReadSession,
    rows: Select[Row],
    table: type[Row],
    *,
    limit: int,
    cursor: str | None,
    sort: Sort = "-created_at",
    filters: JsonValue = None,
) -> Page[Row]:
    """Run a query page by page, ordered by a column and then `id`.

    Args:
        session: Where to read.
        rows: What is listed.
        table: Its table.
        limit: How many rows at most.
        cursor: The `next_cursor` of the page before.
        sort: The order.
        filters: All that narrows the rows beside the team, so that a cursor of other rows can be told.

    Raises:
        InvalidCursor: The cursor is not one that this listing gave out.
    """
    order = Order(sort, [table.__tablename__, filters])
    column = cast(InstrumentedAttribute[Any], getattr(table, order.column))
    keys = (column, table.id)
    falling = sort.startswith("-")
    rows = rows.order_by(*((key.desc() for key in keys) if falling else keys))
    last = None if cursor is None else Cursor.decode(cursor, order)
    nullable = table.__table__.c[order.column].nullable
    if last is not None and last.value is None and not nullable:
        raise InvalidCursor
    found: list[Row] = []
    if last is None or last.value is not None:
        valued = rows.where(column.is_not(None)) if nullable else rows
        if last is not None:
            place = tuple_(last.value, last.id, types=[column.type, table.id.type])
            valued = valued.where(tuple_(*keys) < place if falling else tuple_(*keys) > place)
        found += session.scalars(valued.limit(limit + 1))
    # Databases differ in where nulls go, and no comparison goes past them: those without a value are read on their own.
    if nullable and len(found) <= limit:
        unvalued = rows.where(column.is_(None))
        if last is not None and last.value is None:
            unvalued = unvalued.where(table.id < last.id if falling else table.id > last.id)
        found += session.scalars(unvalued.limit(limit + 1 - len(found)))
    data = found[:limit]
    more = len(found) > limit
    return Page(data, Cursor(getattr(data[-1], order.column), data[-1].id).encode(order) if more else None)


def _is_value(value: object, column: str) -> bool:
    """Whether a database can compare a value with a column."""
    match value:
        case str():
            known = _is_text(value)
        case datetime():
            known = value.tzinfo is not None
        case int() | float():
            known = math.isfinite(value) and abs(value) < _LARGEST
        case _:
            known = False
    return known and type(value) is _KINDS[column]


def _is_text(value: object) -> bool:
    """Whether both databases can hold it; lone surrogates are JSON and no text."""
    return isinstance(value, str) and "\0" not in value and not any("\ud800" <= each <= "\udfff" for each in value)
