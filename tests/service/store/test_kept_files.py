"""Whose files are kept although their time is up: the best and the last of the jobs that compete, and pinned ones."""

import random
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest
from sqlalchemy import text

from store import Database, jobs_past_retry
from tests.service.store.ended import begin, expire, fail, inputs, names_left, past_keeping, pin, save, succeed
from tests.service.store.garden import add_finished, make_team
from tests.service.store.plans import plans
from tests.service.store.virtual_clock import VirtualClock

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)

#: A walk over all jobs, in both databases' words: over the table, or over an index that holds them all.
ALL_JOBS = r"Seq Scan on job|SCAN job(?! USING (COVERING )?INDEX ix_job_with_files)|Scan using ix_job_team_id"

Compete = Callable[[list[float | None]], list[str]]


@pytest.fixture
def compete(clock: VirtualClock, database: Database, team: str) -> Compete:
    """Makes jobs of one dataset and model that end a second after each other, so and so good, and lets a year pass."""

    def compete(qualities: list[float | None]) -> list[str]:
        to = inputs(database, team, "a")
        made = []
        for quality in qualities:
            made.append(succeed(database, begin(database, team, to), quality))
            clock.wait_until(clock.now + timedelta(seconds=1))
        clock.wait_until(clock.now + timedelta(days=365))
        return made

    return compete


@pytest.mark.parametrize(
    ("qualities", "keep", "kept"),
    [
        ([0.5, 0.9, 0.7, 0.1], (1, 1), {1, 3}),
        ([0.5, 0.9, 0.7, 0.1], (2, 0), {1, 2}),
        ([0.5, 0.9, 0.7, 0.1], (0, 2), {2, 3}),
        ([0.5, 0.9, 0.7, 0.1], (0, 0), set()),
        ([0.5, 0.9, 0.7, 0.9], (1, 0), {1}),  # of equals, the older
        ([-0.5, None, -0.7], (2, 0), {0, 2}),  # a bad one is better than an unknown one
        ([None, None], (1, 0), {0}),
        ([0.9], (9, 9), {0}),
    ],
)
def test_the_best_and_the_last_of_those_that_compete_are_kept(
    compete: Compete, database: Database, qualities: list[float | None], keep: tuple[int, int], kept: set[int]
) -> None:
    jobs = compete(qualities)
    going = past_keeping(database, *keep)
    assert {index for index, job_id in enumerate(jobs) if job_id not in going} == kept
    assert going == [job_id for job_id in jobs if job_id in going], "the oldest first"


def test_removing_some_never_brings_down_those_that_were_kept(compete: Compete, database: Database, team: str) -> None:
    jobs = compete([0.5, 0.9, 0.7, 0.8, 0.1])
    while going := past_keeping(database, 2, 1):
        assert expire(database, going[-1])
    assert [bool(names_left(database, team, job_id)) for job_id in jobs] == [False, True, False, True, True]


def test_a_job_whose_files_are_gone_is_kept_for_nothing(compete: Compete, database: Database, team: str) -> None:
    best, second, _ = jobs = compete([0.9, 0.8, 0.7])
    assert expire(database, best)  # as when nothing was kept
    assert past_keeping(database, 1, 0) == [jobs[2]]
    assert names_left(database, team, second) == [second]


def test_a_pinned_job_is_kept_and_still_competes(compete: Compete, database: Database, team: str) -> None:
    best, second, third = compete([0.9, 0.8, 0.7])
    pin(database, team, third)
    assert past_keeping(database, 1, 0) == [second]
    pin(database, team, best)
    assert past_keeping(database, 1, 0) == [second], "the best one is kept already"


def test_jobs_without_known_inputs_compete_with_nobody(clock: VirtualClock, database: Database, team: str) -> None:
    for _ in range(2):
        succeed(database, begin(database, team))
    clock.wait_until(clock.now + timedelta(days=365))
    assert past_keeping(database, 1, 0) == []


@pytest.mark.parametrize("seed", range(3))
def test_who_goes_is_told_by_hand_for_many_teams_models_and_sparsities(
    clock: VirtualClock, database: Database, team: str, seed: int
) -> None:
    chance = random.Random(seed)
    teams = [team, make_team(database, "other")]
    to = {(of, name): inputs(database, of, f"{name}{of[-6:]}") for of in teams for name in "xy"}
    pairs = {of: [to[of, "x"], (to[of, "x"][0], to[of, "y"][1]), (to[of, "y"][0], to[of, "x"][1])] for of in teams}
    groups = [(of, pair, sparsity) for of in teams for pair in pairs[of] for sparsity in (0.5, 0.9)]
    made: dict[tuple[object, ...], list[tuple[float, int, str, bool]]] = {group: [] for group in groups}
    for age in range(60):
        of, pair, sparsity = group = chance.choice(groups)
        quality = chance.choice([None, 0.1, 0.5, 0.5, 0.9])
        job_id = succeed(database, begin(database, of, pair, sparsity), quality)
        pinned = chance.random() < 0.2
        pin(database, of, job_id, pinned)
        made[group].append((float("-inf") if quality is None else quality, age, job_id, pinned))
        clock.wait_until(clock.now + timedelta(minutes=1))
    for best, last, old in product((0, 1, 2), (0, 1, 2), (0, 15)):
        expected = []
        for jobs in made.values():
            good = sorted(jobs, key=lambda job: (-job[0], job[1]))[:best]
            late = sorted(jobs, key=lambda job: -job[1])[:last]
            expected += [
                (age, job_id)
                for _, age, job_id, pinned in jobs
                if not pinned and 60 - age >= old and job_id not in {job[2] for job in good + late}
            ]
        assert past_keeping(database, best, last, ttl_s=60.0 * old) == [job_id for _, job_id in sorted(expected)]


def test_a_hundred_jobs_at_most_are_found_at_once(database: Database, team: str) -> None:
    add_finished(database, team, 102, created_at=LONG_AGO, finished_at=LONG_AGO)
    first = past_keeping(database)
    assert len(first) == 100
    assert set(first) < {f"job_old{number}" for number in range(102)}


@pytest.mark.slow
@pytest.mark.parametrize("statistics", [True, False], ids=["analyzed", "not-analyzed"])
def test_looking_for_what_is_due_does_not_look_at_jobs_that_have_nothing_to_lose(
    database: Database, team: str, statistics: bool
) -> None:
    add_finished(database, team, 20_000, created_at=LONG_AGO, finished_at=LONG_AGO, files_expired_at=LONG_AGO)
    due = [succeed(database, begin(database, team)) for _ in range(20)]
    failed = begin(database, team)
    save(database, failed, 1)
    fail(database, failed)
    if statistics:
        with database.engine.begin() as connection:
            connection.execute(text("ANALYZE"))
    with plans(database) as found, database.read() as session:
        assert past_keeping(database, ttl_s=0) == due
        assert list(jobs_past_retry(session, 0)) == [failed.job_id]
    for_files, for_checkpoints = found
    assert "ix_job_with_files" in for_files
    assert re.search(r"pk_job|sqlite_autoindex_job_1", for_checkpoints), for_checkpoints
    for plan in found:
        assert not re.search(ALL_JOBS, plan), plan
