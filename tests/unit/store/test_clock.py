"""The database's clock in SQL, and times that always know their zone."""

import sqlite3
from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import create_mock_engine, select
from sqlalchemy.dialects import sqlite

from store.clock import UTCDateTime, db_now


def _run_nothing(*_: object) -> None:
    pass


def test_on_postgresql_time_goes_on_within_a_transaction() -> None:
    compiled = select(db_now(5.0)).compile(create_mock_engine("postgresql+psycopg://", _run_nothing))
    assert "clock_timestamp() + make_interval(secs => " in str(compiled)
    assert list(compiled.params.values()) == [5.0]


def test_the_offset_is_a_parameter_so_that_statements_are_compiled_once() -> None:
    assert select(db_now(1.0))._generate_cache_key() == select(db_now(2.0))._generate_cache_key()


@pytest.mark.parametrize("offset_s", [0.0, 60.0, -86_400.0, 0.25, 1e-5])
def test_on_sqlite_the_text_is_what_sqlalchemy_stores(offset_s: float) -> None:
    compiled = str(select(db_now(offset_s)).compile(dialect=sqlite.dialect()))
    connection = sqlite3.connect(":memory:")
    (found,) = connection.execute(compiled, (offset_s,)).fetchone()
    connection.close()
    assert len(found) == len("2026-01-01 00:00:00.000000")
    moment = datetime.fromisoformat(found).replace(tzinfo=UTC)
    assert abs(moment - datetime.now(UTC) - timedelta(seconds=offset_s)) < timedelta(seconds=2)


def test_times_are_kept_in_utc() -> None:
    noon_in_berlin = datetime(2026, 1, 1, 12, tzinfo=timezone(timedelta(hours=1)))
    bound = UTCDateTime().process_bind_param(noon_in_berlin, sqlite.dialect())
    assert bound == datetime(2026, 1, 1, 11, tzinfo=UTC)
    assert bound.tzinfo is UTC


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        UTCDateTime().process_bind_param(datetime(2026, 1, 1), sqlite.dialect())  # noqa: DTZ001 - that is the point
