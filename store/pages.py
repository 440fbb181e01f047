"""Keyset pages: a cursor names the last row seen, so that new rows neither repeat nor hide others."""

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Generic, Literal, TypeVar

from sqlalchemy import Select, tuple_
from sqlalchemy.orm import InstrumentedAttribute

from store.engine import ReadSession
from store.errors import InvalidCursor
from store.tables import AuditEntry, Dataset, Job, Key, Model

Sort = Literal["created_at", "-created_at"]
"""Oldest first, or newest first."""

Row = TypeVar("Row", Job, Dataset, Model, Key, AuditEntry)


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """Some rows, and the cursor that continues after them, or None at the end."""

    data: Sequence[Row]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last row of a page, and the order it was listed in."""

    sort: Sort
    created_at: datetime
    id: str

    def encode(self) -> str:
        """Return the opaque form that clients send back."""
        document = json.dumps([self.sort, self.created_at.astimezone(UTC).isoformat(), self.id])
        return base64.urlsafe_b64encode(document.encode()).decode().rstrip("=")

    @classmethod
    def decode(cls, opaque: str, sort: Sort) -> "Cursor":
        """Read a cursor given out for the same order.

        Raises:
            InvalidCursor: It is not one of ours, or belongs to another order.
        """
        try:
            padded = opaque.encode("ascii") + b"=" * (-len(opaque) % 4)
            given, created_at, id_ = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
            moment = datetime.fromisoformat(created_at)
        except (binascii.Error, ValueError, TypeError) as error:
            raise InvalidCursor from error
        if given != sort or moment.tzinfo is None or not isinstance(id_, str) or "\0" in id_:
            raise InvalidCursor
        return cls(sort, moment, id_)


def page_of(
    session: ReadSession, rows: Select[Row], table: type[Row], *, sort: Sort, limit: int, cursor: str | None
) -> Page[Row]:
    """Run a query page by page, ordered by `created_at` and then `id`.

    Raises:
        InvalidCursor: The cursor is not one that this listing gave out.
    """
    created_at: InstrumentedAttribute[datetime] = table.created_at
    keys = (created_at, table.id)
    if cursor is not None:
        last = Cursor.decode(cursor, sort)
        place = tuple_(last.created_at, last.id, types=[created_at.type, table.id.type])
        rows = rows.where(tuple_(*keys) > place if sort == "created_at" else tuple_(*keys) < place)
    rows = rows.order_by(*(keys if sort == "created_at" else (key.desc() for key in keys))).limit(limit + 1)
    found = session.scalars(rows).all()
    data = found[:limit]
    more = len(found) > limit
    return Page(data, Cursor(sort, data[-1].created_at, data[-1].id).encode() if more else None)
