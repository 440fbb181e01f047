"""Whose turn it is: priority, fair share between teams, limits, GPUs; and that it costs little to tell."""

import re
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import func, select, text, update
from sqlalchemy.exc import DBAPIError

from store import (
    Database,
    Job,
    NewJob,
    QueueFull,
    claim_next,
    create_job,
    open_database,
    place_of,
    queues_with_work,
    request_cancel,
)
from store.clock import db_now
from store.scheduling import is_active
from tests.service.store.garden import add_finished, claim_all, claim_id, expected_order, make_team, submit_for
from tests.service.store.plans import plans


def test_teams_take_turns_however_many_jobs_one_submits_first(database: Database) -> None:
    many, few = make_team(database, "many"), make_team(database, "few")
    theirs = [submit_for(database, many) for _ in range(4)]
    ours = [submit_for(database, few) for _ in range(2)]
    assert claim_all(database) == [theirs[0], ours[0], theirs[1], ours[1], theirs[2], theirs[3]]


def test_a_team_that_runs_nothing_goes_before_one_that_does(database: Database) -> None:
    busy, idle = make_team(database, "busy"), make_team(database, "idle")
    first = submit_for(database, busy)
    assert claim_id(database) == first
    submit_for(database, busy)
    late = submit_for(database, idle)
    assert claim_id(database) == late


def test_a_team_of_weight_two_gets_two_of_three_places(database: Database) -> None:
    heavy, light = make_team(database, "heavy", weight=2.0), make_team(database, "light")
    jobs = {submit_for(database, team): team for team in (heavy, light) for _ in range(6)}
    begun = [jobs[claim_id(database) or ""] for _ in range(6)]
    assert (begun.count(heavy), begun.count(light)) == (4, 2)


def test_priority_goes_before_fairness(database: Database) -> None:
    busy, idle = make_team(database, "busy"), make_team(database, "idle")
    submit_for(database, busy)
    claim_id(database)
    submit_for(database, idle)
    urgent = submit_for(database, busy, priority=1)
    assert claim_id(database) == urgent


def test_turns_are_those_taken_by_hand(database: Database) -> None:
    weights = {"a": 1.0, "b": 2.0, "c": 0.5}
    limits = {"a": 5, "b": None, "c": 3}
    ids = {name: make_team(database, name, weight=weights[name], max_running=limits[name]) for name in weights}
    plan = zip("aabcabcbcacbabca", [0, 0, 1, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 1, 1, 0], strict=True)
    jobs = [(submit_for(database, ids[name], priority=priority), name, priority) for name, priority in plan]
    assert claim_all(database) == expected_order(jobs, weights, limits)


def test_a_team_at_its_limit_lets_others_pass_and_goes_on_when_a_job_ends(database: Database) -> None:
    capped, free = make_team(database, "capped", max_running=1), make_team(database, "free")
    first, second = submit_for(database, capped, priority=9), submit_for(database, capped, priority=9)
    other = submit_for(database, free)
    assert claim_all(database) == [first, other]
    with database.write() as session:
        assert queues_with_work(session) == []
        session.execute(update(Job).where(Job.id == first).values(status="succeeded"))
    with database.read() as session:
        assert queues_with_work(session) == ["default"]
    assert claim_id(database) == second


def test_a_job_that_is_being_cancelled_still_takes_its_teams_place(database: Database) -> None:
    team = make_team(database, "capped", max_running=1)
    first = submit_for(database, team)
    submit_for(database, team)
    assert claim_id(database) == first
    with database.write() as session:
        request_cancel(session, team, first)
    assert claim_id(database) is None


def test_the_settings_limit_holds_for_teams_without_their_own(database: Database) -> None:
    plain, own = make_team(database, "plain"), make_team(database, "own", max_running=2)
    for team in (plain, own):
        for _ in range(3):
            submit_for(database, team)
    assert len(claim_all(database, max_running=1)) == 1 + 2
    with database.read() as session:
        assert queues_with_work(session, max_running=1) == []
        assert queues_with_work(session) == ["default"]


def test_a_worker_leaves_jobs_that_ask_for_more_gpus_to_others(database: Database) -> None:
    team = make_team(database, "team")
    large = submit_for(database, team, gpus=4, priority=5)
    small = submit_for(database, team)
    assert claim_id(database, gpus=2) == small
    assert claim_id(database, gpus=2) is None
    assert claim_id(database, gpus=4) == large


def test_free_gpus_are_kept_for_a_job_of_higher_priority_that_needs_more(database: Database) -> None:
    team, capped = make_team(database, "team"), make_team(database, "capped", max_running=0)
    submit_for(database, capped, gpus=2, priority=9)  # its turn will not come, whatever is free
    large = submit_for(database, team, gpus=2, priority=5)
    small, urgent = submit_for(database, team), submit_for(database, team, priority=5)
    assert claim_id(database, in_all=2) == urgent, "of equal priority: it takes what the large one cannot use"
    assert claim_id(database, in_all=2) is None, "one GPU is free, and soon two"
    assert claim_id(database, in_all=4) is None
    assert claim_id(database, gpus=2, in_all=2) == large
    assert claim_id(database, in_all=2) == small


def test_a_large_job_that_has_waited_long_goes_before_younger_ones_of_its_priority(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    team = make_team(database, "team")
    older = submit_for(database, team)
    large = submit_for(database, team, gpus=2)
    younger, higher = submit_for(database, team), submit_for(database, team, priority=1)
    monkeypatch.setattr("store.scheduling.PATIENCE_S", 0.0)
    assert claim_id(database, in_all=2) == higher
    assert claim_id(database, in_all=2) == older, "it came first"
    assert claim_id(database, in_all=2) is None, "the large one's turn"
    monkeypatch.undo()
    assert claim_id(database, in_all=2) == younger, "it has not waited for a quarter of an hour"
    assert claim_id(database, gpus=2, in_all=2) == large


def test_a_worker_that_could_never_run_a_larger_job_does_not_wait_for_it(database: Database) -> None:
    team = make_team(database, "team")
    submit_for(database, team, gpus=4, priority=5)
    small = submit_for(database, team)
    assert claim_id(database, in_all=2) == small


def test_a_claim_says_how_many_gpus_the_job_asks_for(database: Database) -> None:
    submit_for(database, make_team(database, "team"), gpus=2)
    with database.write() as session:
        claim = claim_next(session, "default", "worker", 60.0, gpus=8)
    assert claim is not None
    assert claim.gpus == 2


@pytest.mark.parametrize("round_", range(3))
def test_claimers_at_once_do_not_exceed_a_teams_limit(database: Database, round_: int) -> None:
    teams = [make_team(database, name, max_running=2) for name in ("one", "two")]
    for team in teams:
        for _ in range(8):
            submit_for(database, team)
    start = threading.Barrier(8)

    def race(_: int) -> int:
        start.wait()
        return len(claim_all(database))

    with ThreadPoolExecutor(8) as pool:
        claimed = sum(pool.map(race, range(8)))
    with database.read() as session:
        counts = select(Job.team_id, func.count()).where(is_active()).group_by(Job.team_id)
        running = dict(session.execute(counts).all())
    assert running == dict.fromkeys(teams, 2)
    assert claimed == 4


def test_a_submit_over_the_limit_is_refused_and_stores_nothing(database: Database) -> None:
    team = make_team(database, "team", max_queued=2)
    first = submit_for(database, team)
    submit_for(database, team)
    with pytest.raises(QueueFull, match=r"2 jobs waiting, and its limit \(max_queued\) is 2"):
        submit_for(database, team)
    assert claim_id(database) == first
    submit_for(database, team)  # the running one does not wait any more


def test_the_settings_queue_limit_holds_for_teams_without_their_own(database: Database) -> None:
    plain, own = make_team(database, "plain"), make_team(database, "own", max_queued=2)
    submit_for(database, plain, max_queued=1)
    submit_for(database, own, max_queued=1)
    submit_for(database, own, max_queued=1)
    for team in (plain, own):
        with pytest.raises(QueueFull, match="has 1 job waiting" if team == plain else "has 2 jobs waiting"):
            submit_for(database, team, max_queued=1)


def test_a_full_queue_still_answers_a_request_it_knows_and_forgets_one_it_refused(database: Database) -> None:
    team = make_team(database, "team", max_queued=1)
    new = NewJob(method="movement", target_sparsity=0.9, spec={})
    with database.write() as session:
        first = create_job(session, team, new, idempotency_key="k", body_sha256="1").job.id
    with database.write() as session:
        again = create_job(session, team, new, idempotency_key="k", body_sha256="1")
    assert (again.replayed, again.job.id) == (True, first)
    with pytest.raises(QueueFull), database.write() as session:
        create_job(session, team, new, idempotency_key="other", body_sha256="2")
    claim_id(database)
    with database.write() as session:
        assert not create_job(session, team, new, idempotency_key="other", body_sha256="2").replayed


def test_submits_at_once_do_not_exceed_the_limit(database: Database) -> None:
    team = make_team(database, "team", max_queued=5)
    start = threading.Barrier(8)

    def race(_: int) -> int:
        start.wait()
        stored = 0
        for _ in range(3):
            try:
                submit_for(database, team)
            except QueueFull:
                continue
            stored += 1
        return stored

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(race, range(8))) == 5


@pytest.mark.postgres
def test_a_claimer_that_falls_silent_is_ended_and_others_go_on(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("store.engine.LONGEST_SILENCE_MS", 300)
    database = open_database(postgres_url)
    job_id = submit_for(database, make_team(database, "team"))

    def claim_and_freeze() -> None:
        with database.write() as session:
            assert claim_next(session, "default", "frozen", 60.0) is not None
            assert claim_id(database) == job_id  # by another, who waited for the first one's end

    with pytest.raises(DBAPIError):
        claim_and_freeze()
    database.close()


#: Any way to read jobs but by id or by an index that holds no finished ones, in both databases' words.
FINISHED_TOO = r"Seq Scan on job|SCAN job(?! USING (COVERING )?INDEX ix_job_(waiting|active))|ix_job_team_id"


@pytest.mark.slow
@pytest.mark.parametrize("statistics", [True, False], ids=["analyzed", "not-analyzed"])
def test_a_claim_does_not_look_at_finished_jobs(database: Database, statistics: bool) -> None:
    teams = [make_team(database, f"team {number}", max_running=3) for number in range(5)]
    add_finished(database, teams[0], 20_000)
    for team in teams:
        for _ in range(10):
            last = submit_for(database, team)
    if statistics:
        with database.engine.begin() as connection:
            connection.execute(text("ANALYZE"))
    with database.read() as session:
        waiting = session.get_one(Job, last)
    with plans(database) as found:
        assert claim_id(database) is not None
        with database.read() as session:
            queues_with_work(session)
            assert place_of(session, waiting) is not None
        submit_for(database, teams[1], max_queued=100)
    assert sum("ix_job_waiting" in plan for plan in found) >= 5
    for plan in found:
        assert not re.search(FINISHED_TOO, plan), plan
    assert "ix_job_active" in found[0]


def test_a_job_that_backs_off_holds_nobody_up(database: Database) -> None:
    team = make_team(database, "team")
    crashed, next_ = submit_for(database, team, priority=3), submit_for(database, team)
    with database.write() as session:
        session.execute(update(Job).where(Job.id == crashed).values(not_before=db_now(60)))
    assert claim_all(database) == [next_]
