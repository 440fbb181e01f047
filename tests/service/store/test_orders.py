"""The orders that jobs are listed in: each whole, stable while jobs come in, and read from an index."""

import random
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest
from sqlalchemy import text

from store import Database, Job, JobStatus, Sort, list_jobs
from tests.service.store.garden import add_finished, make_team
from tests.service.store.plans import plans

SORTS: tuple[Sort, ...] = get_args(Sort)
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


def fill(database: Database, team: str, count: int, *, seed: int = 0) -> None:
    """Add jobs with columns by chance: many of them equal, many of them null."""
    chance = random.Random(seed)

    def moment() -> datetime:
        return LONG_AGO + timedelta(hours=chance.randrange(20))

    for number in range(count):
        add_finished(
            database, team, 1, id=f"job_{seed}_{chance.randrange(10**9)}_{number}", created_at=moment(),
            finished_at=chance.choice([None, moment()]), priority=chance.randrange(-2, 3),
            name=chance.choice([None, *"abcde"]), quality=chance.choice([None, chance.randrange(9) / 8]),
        )  # fmt: skip


def pages(database: Database, team: str, sort: Sort, **filters: Any) -> Iterator[list[Job]]:
    """A listing, page by page, each in a session of its own."""
    cursor = None
    while True:
        with database.read() as session:
            page = list_jobs(session, team, sort=sort, limit=7, cursor=cursor, **filters)
        yield list(page.data)
        cursor = page.next_cursor
        if cursor is None:
            return


def expected(jobs: list[Job], sort: Sort) -> list[str]:
    """The ids in an order, sorted by hand: those without a value last."""
    column, falling = sort.removeprefix("-"), sort.startswith("-")
    without = [job for job in jobs if getattr(job, column) is None]
    valued = [job for job in jobs if getattr(job, column) is not None]
    ordered = sorted(valued, key=lambda job: (getattr(job, column), job.id), reverse=falling)
    return [job.id for job in ordered + sorted(without, key=lambda job: job.id, reverse=falling)]


@pytest.mark.parametrize("sort", SORTS)
def test_the_pages_of_every_order_hold_every_job_once(database: Database, team: str, sort: Sort) -> None:
    fill(database, team, 60)
    fill(database, make_team(database, "others"), 5, seed=1)
    with database.read() as session:
        jobs = list(list_jobs(session, team, limit=200).data)
    assert [job.id for page in pages(database, team, sort) for job in page] == expected(jobs, sort)


@pytest.mark.parametrize("sort", SORTS)
def test_jobs_that_come_in_meanwhile_neither_repeat_nor_hide_others(database: Database, team: str, sort: Sort) -> None:
    fill(database, team, 40)
    with database.read() as session:
        before = expected(list(list_jobs(session, team, limit=200).data), sort)
    seen: list[str] = []
    for number, page in enumerate(pages(database, team, sort)):
        seen += [job.id for job in page]
        if number < 4:  # or the listing would have no end
            fill(database, team, 3, seed=number + 1)
    assert len(seen) == len(set(seen))
    assert [id_ for id_ in seen if id_ in set(before)] == before


@pytest.mark.slow
def test_every_order_is_read_from_its_index_and_sorted_nowhere(database: Database) -> None:
    team, others = make_team(database, "team"), make_team(database, "others")
    columns: dict[str, Any] = {"created_at": LONG_AGO, "finished_at": LONG_AGO, "name": "run", "quality": 0.5}
    add_finished(database, team, 20_000, **columns)
    add_finished(database, others, 20_000, prefix="job_others", **columns)
    if database.engine.dialect.name == "postgresql":  # which does so by itself before long; SQLite never does
        with database.engine.begin() as connection:
            connection.execute(text("ANALYZE"))
    for sort in SORTS:
        with plans(database) as found, database.read() as session:
            first = list_jobs(session, team, sort=sort, limit=100)
            list_jobs(session, team, sort=sort, limit=100, cursor=first.next_cursor)
            statuses = (JobStatus.SUCCEEDED, JobStatus.FAILED)
            list_jobs(session, team, sort=sort, limit=100, statuses=statuses, method="movement")
        column = sort.removeprefix("-")
        assert len(found) == 3
        for plan in found:
            assert f"ix_job_team_id_{column}_id" in plan, f"{sort}: {plan}"
            assert not re.search(r"Sort|B-TREE|Seq Scan|SCAN job", plan), f"{sort}: {plan}"
