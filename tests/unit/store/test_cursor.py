"""Page cursors survive the round trip, and nothing else passes for one."""

import base64
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.errors import InvalidCursor
from store.pages import Cursor, Sort

SORTS: list[Sort] = ["created_at", "-created_at"]


@given(st.sampled_from(SORTS), st.datetimes(timezones=st.just(UTC)), st.text(st.characters(blacklist_characters="\0")))
def test_a_cursor_survives_the_round_trip(sort: Sort, created_at: datetime, id_: str) -> None:
    cursor = Cursor(sort, created_at, id_)
    assert Cursor.decode(cursor.encode(), sort) == cursor


@given(st.text())
def test_any_text_is_a_cursor_or_refused(opaque: str) -> None:
    with pytest.raises(InvalidCursor):
        Cursor.decode(opaque, "created_at")


def test_a_cursor_of_the_other_order_is_refused() -> None:
    opaque = Cursor("created_at", datetime.now(UTC), "job_1").encode()
    with pytest.raises(InvalidCursor):
        Cursor.decode(opaque, "-created_at")


@pytest.mark.parametrize(
    "document",
    [
        None,
        {},
        ["created_at"],
        ["created_at", 5, "job_1"],
        ["created_at", "soon", "job_1"],
        ["created_at", "2026-01-01T00:00:00", "job_1"],
        ["created_at", "2026-01-01T00:00:00+00:00", 7],
        ["created_at", "2026-01-01T00:00:00+00:00", "job_\0"],
        ["name", "2026-01-01T00:00:00+00:00", "job_1"],
    ],
)
def test_a_tampered_cursor_is_refused(document: object) -> None:
    opaque = base64.urlsafe_b64encode(json.dumps(document).encode()).decode().rstrip("=")
    with pytest.raises(InvalidCursor):
        Cursor.decode(opaque, "created_at")
