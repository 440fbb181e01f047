"""GET /v1/audit."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from api.auth import Admin
from api.bodies import Words
from api.dependencies import Here
from api.paging import Cursor, Limit, Listing, listing
from api.times import Time
from store import AuditEntry, list_audit

router = APIRouter(prefix="/v1/audit", tags=["audit"])


class AuditView(BaseModel):
    """One call that could change something."""

    id: str
    at: datetime
    key_id: str | None = Field(description="Null for what was done on the host, beside the service.")
    method: str
    route: str = Field(examples=["/v1/jobs/{job_id}/cancel"])
    target_id: str | None = Field(description="What the call was about, or made.")
    status: int = Field(description="Of the answer; 499: the client left before there was one.")
    request_id: str | None


def audit_view(entry: AuditEntry) -> AuditView:
    """Show an entry."""
    return AuditView(
        id=entry.id,
        at=entry.created_at,
        key_id=entry.key_id,
        method=entry.method,
        route=entry.route,
        target_id=entry.target_id,
        status=entry.status,
        request_id=entry.request_id,
    )


Text = Annotated[Words | None, Query(max_length=100)]


@router.get("", summary="Who changed what")
def get_list(
    here: Here,
    caller: Admin,
    *,
    key_id: Text = None,
    target_id: Text = None,
    since: Annotated[Time | None, Query(description="Only from this time on, with its zone.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Listing[AuditView]:
    """Every call of the team's keys that could change something, newest first, and how it was answered."""
    with here.database.read() as session:
        page = list_audit(
            session, caller.team_id, key_id=key_id, target_id=target_id, since=since, limit=limit, cursor=cursor
        )
    return listing(page, audit_view)
