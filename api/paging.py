"""Lists over HTTP: pages of a fixed form, continued by cursor."""

from collections.abc import Callable
from typing import Annotated, Generic, TypeVar

from fastapi import Query
from pydantic import BaseModel, Field

from store import AuditEntry, Dataset, Delivery, Job, Key, Model, Page, Sweep, Webhook

View = TypeVar("View", bound=BaseModel)
Row = TypeVar("Row", Job, Dataset, Model, Sweep, Key, AuditEntry, Webhook, Delivery)

Limit = Annotated[int, Query(ge=1, le=200, description="How many at most.")]
Cursor = Annotated[str | None, Query(max_length=2000, description="`next_cursor` of the page before.")]


class Listing(BaseModel, Generic[View]):
    """One page."""

    data: list[View]
    next_cursor: str | None = Field(description="Pass it as `cursor` to go on; null at the end.")
    has_more: bool


def listing(page: Page[Row], view: Callable[[Row], View]) -> Listing[View]:
    """Show a page of rows."""
    return Listing(
        data=[view(row) for row in page.data], next_cursor=page.next_cursor, has_more=page.next_cursor is not None
    )
