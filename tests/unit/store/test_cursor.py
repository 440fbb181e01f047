"""Page cursors survive the round trip, and nothing else passes for one."""

import base64
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.errors import InvalidCursor
from store.pages import Cursor, Order, Sort, Value

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
VALUES: dict[Sort, st.SearchStrategy[Value]] = {
    "created_at": st.datetimes(timezones=st.just(UTC)),
    "-finished_at": st.datetimes(timezones=st.just(UTC)),
    "priority": st.integers(-1000, 1000),
    "-name": TEXT,
    "quality": st.floats(-1e9, 1e9),
}
OLDEST = Order("created_at")
MOMENT = "2026-01-01T00:00:00+00:00"


@pytest.mark.parametrize("sort", VALUES)
@given(st.data())
def test_a_cursor_survives_the_round_trip(sort: Sort, data: st.DataObject) -> None:
    order = Order(sort, data.draw(st.none() | st.lists(TEXT)))
    cursor = Cursor(data.draw(st.none() | VALUES[sort]), data.draw(TEXT))
    assert Cursor.decode(cursor.encode(order), order) == cursor


@given(st.text())
def test_any_text_is_a_cursor_or_refused(opaque: str) -> None:
    with pytest.raises(InvalidCursor):
        Cursor.decode(opaque, OLDEST)


@pytest.mark.parametrize("other", [Order("-created_at"), Order("finished_at"), Order("created_at", ["movement"])])
def test_a_cursor_of_another_order_or_other_filters_is_refused(other: Order) -> None:
    opaque = Cursor(datetime.now(UTC), "job_1").encode(OLDEST)
    with pytest.raises(InvalidCursor):
        Cursor.decode(opaque, other)


@pytest.mark.parametrize(
    ("sort", "rest"),
    [
        ("created_at", []),
        ("created_at", [5, "job_1"]),
        ("created_at", ["soon", "job_1"]),
        ("created_at", ["2026-01-01T00:00:00", "job_1"]),
        ("created_at", ["9999-12-31T23:59:59-14:00", "job_1"]),
        ("finished_at", ["0001-01-01T00:00:00+14:00", "job_1"]),
        ("finished_at", ["2026-01-01T00:00:00", "job_1"]),
        ("created_at", [MOMENT, 7]),
        ("created_at", [MOMENT, "job_\0"]),
        ("created_at", [MOMENT, "job_\ud800"]),
        ("name", ["half \ud800", "job_1"]),
        ("name", [3, "job_1"]),
        ("priority", [True, "job_1"]),
        ("priority", [2**31, "job_1"]),
        ("priority", [0.5, "job_1"]),
        ("quality", [float("inf"), "job_1"]),
        ("quality", [float("nan"), "job_1"]),
        ("quality", [{}, "job_1"]),
    ],
)
def test_a_tampered_cursor_is_refused(sort: Sort, rest: list[object]) -> None:
    document = json.dumps([Order(sort).digest, *rest])
    opaque = base64.urlsafe_b64encode(document.encode()).decode().rstrip("=")
    with pytest.raises(InvalidCursor):
        Cursor.decode(opaque, Order(sort))


@pytest.mark.parametrize("document", [None, {}, ["created_at"], ["0" * 12, MOMENT, "job_1"]])
def test_what_names_no_listing_is_refused(document: object) -> None:
    opaque = base64.urlsafe_b64encode(json.dumps(document).encode()).decode().rstrip("=")
    with pytest.raises(InvalidCursor):
        Cursor.decode(opaque, OLDEST)
