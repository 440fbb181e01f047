"""The audit log: every call that could change something, written once and never again."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime

from sqlalchemy import insert, select

from store.engine import ReadSession, WriteSession
from store.ids import new_id
from store.pages import Page, page_of
from store.tables import AuditEntry


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A call that could change something. Neither bodies nor secrets belong here.

    Attributes:
        team_id: whose key called.
        key_id: which key; None for what was done on the host, beside the service.
        method: the HTTP method.
        route: the route's template, without the ids.
        target_id: what the call was about, or made.
        status: the answer's.
        request_id: what the service's log calls the request.
    """

    team_id: str
    key_id: str | None
    method: str
    route: str
    target_id: str | None
    status: int
    request_id: str | None = None


def record_call(session: WriteSession, call: Call) -> None:
    """Append an entry; it is committed by the session's owner."""
    record_calls(session, [call])


def record_calls(session: WriteSession, calls: Sequence[Call]) -> None:
    """Append entries; they are committed by the session's owner."""
    if calls:
        rows = [{"id": new_id("aud"), **{name: getattr(call, name) for name in _COLUMNS}} for call in calls]
        session.execute(insert(AuditEntry.__table__), rows)  # type: ignore[arg-type] # it is a Table


_COLUMNS = tuple(field.name for field in fields(Call))


def list_audit(
    session: ReadSession,
    team_id: str,
    *,
    key_id: str | None = None,
    target_id: str | None = None,
    since: datetime | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> Page[AuditEntry]:
    """Return a page of a team's entries, newest first.

    Args:
        session: Where to read.
        team_id: Whose.
        key_id: Only what this key did.
        target_id: Only what was done to this.
        since: Only what was done from then on.
        limit: How many at most.
        cursor: The `next_cursor` of the page before.

    Raises:
        InvalidCursor: The cursor is not one that this listing gave out.
    """
    rows = select(AuditEntry).where(AuditEntry.team_id == team_id)
    if key_id is not None:
        rows = rows.where(AuditEntry.key_id == key_id)
    if target_id is not None:
        rows = rows.where(AuditEntry.target_id == target_id)
    if since is not None:
        rows = rows.where(AuditEntry.created_at >= since)
    filters = [key_id, target_id, None if since is None else since.isoformat()]
    return page_of(session, rows, AuditEntry, sort="-created_at", filters=filters, limit=limit, cursor=cursor)
