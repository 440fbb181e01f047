"""Positions are those that claims then keep, and an estimate is made of known parts only."""

import random

import pytest
from sqlalchemy import insert, update

from store import Database, Job, JobStatus, NewJob, Place, Submission, announce_worker, create_jobs, place_of, places_of
from store.clock import db_now
from store.submission import Submitted
from store.tables import Model
from tests.service.store.garden import claim_all, claim_id, expected_order, make_team, submit_for


def place(database: Database, job_id: str, max_running: int | None = None) -> Place | None:
    """Where a job stands now."""
    with database.read() as session:
        return place_of(session, session.get_one(Job, job_id), max_running)


def position(database: Database, job_id: str, max_running: int | None = None) -> int | None:
    """Its position now."""
    found = place(database, job_id, max_running)
    return found.position if found else None


def change(database: Database, job_id: str, **columns: object) -> None:
    """Set columns of a job behind the engine's back."""
    with database.write() as session:
        session.execute(update(Job).where(Job.id == job_id).values(**columns))


def test_positions_count_from_one_and_move_up(database: Database) -> None:
    team = make_team(database, "team")
    first, second, third = (submit_for(database, team) for _ in range(3))
    assert [position(database, job_id) for job_id in (first, second, third)] == [1, 2, 3]
    claim_id(database)
    assert [position(database, job_id) for job_id in (first, second, third)] == [None, 1, 2]


@pytest.mark.parametrize("seed", range(4))
def test_jobs_are_claimed_in_the_order_of_their_positions(database: Database, seed: int) -> None:
    chance = random.Random(seed)
    weights = {"a": 1.0, "b": 2.0, "c": 0.3}
    limits = {"a": chance.choice([None, 4]), "b": chance.choice([None, 2]), "c": None}
    ids = {name: make_team(database, name, weight=weights[name], max_running=limits[name]) for name in weights}
    jobs = []
    for _ in range(24):
        name, priority = chance.choice("abc"), chance.choice([0, 0, 0, 1])
        jobs.append((submit_for(database, ids[name], priority=priority), name, priority))
    positions = {job_id: position(database, job_id) for job_id, _, _ in jobs}
    assert sorted(each for each in positions.values() if each) == list(range(1, 25))
    by_hand = expected_order(jobs, weights, limits)
    assert [positions[job_id] for job_id in by_hand] == list(range(1, len(by_hand) + 1))
    assert claim_all(database) == by_hand


def test_jobs_that_were_queued_together_stand_where_each_would_stand_by_itself(database: Database) -> None:
    ours = make_team(database, "ours", weight=2.0, max_running=3)
    others = [make_team(database, "second"), make_team(database, "third", weight=0.5)]
    for other in others:
        for priority in (0, 1, 0):
            submit_for(database, other, priority=priority)
    asked = [(0, 1), (1, 1), (0, 4), (0, 1), (1, 1), (0, 1)]
    with database.write() as session:
        announce_worker(session, "worker", 2)
        new = [
            Submission(NewJob(method="movement", target_sparsity=0.5, spec={}, priority=priority, gpus=gpus))
            for priority, gpus in asked
        ]
        stored = [each.job for each in create_jobs(session, ours, new) if isinstance(each, Submitted)]
    submit_for(database, others[0])
    with database.read() as session:
        found = places_of(session, stored)
        assert [job.id for job in stored if job.id not in found] == [stored[2].id], "no worker offers as many GPUs"
        assert found == {job.id: place_of(session, job) for job in stored if job.id in found}


def test_jobs_that_a_limit_holds_back_stand_at_the_end(database: Database) -> None:
    capped, free = make_team(database, "capped"), make_team(database, "free", max_running=9)
    held = [submit_for(database, capped, priority=5) for _ in range(3)]
    late = submit_for(database, free)
    assert [position(database, job_id, max_running=1) for job_id in (*held, late)] == [1, 3, 4, 2]
    assert [position(database, job_id) for job_id in (*held, late)] == [1, 2, 3, 4]


def test_a_job_that_backs_off_is_not_in_the_line(database: Database) -> None:
    team = make_team(database, "team")
    crashed, next_ = submit_for(database, team), submit_for(database, team)
    change(database, crashed, not_before=db_now(60))
    assert (position(database, crashed), position(database, next_)) == (None, 1)


def test_a_job_that_no_worker_could_run_is_not_in_the_line(database: Database) -> None:
    team = make_team(database, "team")
    large, small = submit_for(database, team, gpus=4, priority=5), submit_for(database, team, gpus=2)
    assert (position(database, large), position(database, small)) == (1, 2), "no worker has said what it offers"
    for offered, expected in ((1, (None, None)), (2, (None, 1)), (4, (1, 2))):
        with database.write() as session:
            announce_worker(session, "worker", offered)
        assert (position(database, large), position(database, small)) == expected


def test_queues_have_lines_of_their_own(database: Database) -> None:
    team = make_team(database, "team")
    submit_for(database, team)
    assert position(database, submit_for(database, team, queue="gpu")) == 1


@pytest.fixture
def model(database: Database) -> tuple[str, str]:
    """A team and its model."""
    team = make_team(database, "team")
    row = {"id": "mdl_1", "team_id": team, "name": "m", "model_type": "bert", "config": {}, "tensors": []}
    with database.write() as session:
        session.execute(insert(Model).values(**row, parameters=1, size=1))
    return team, "mdl_1"


def past(database: Database, team: str, model: str, *, seconds: float, steps: int, **changes: object) -> None:
    """A job that took so long for so many steps."""
    job_id = submit_for(database, team, model_id=model, total_steps=steps)
    times = {"started_at": db_now(-5000 - seconds), "finished_at": db_now(-5000)}
    change(database, job_id, **{"status": JobStatus.SUCCEEDED, "attempt": 1, **times, **changes})


def test_an_estimate_adds_what_runs_what_waits_and_what_such_jobs_took(
    database: Database, model: tuple[str, str]
) -> None:
    team, mdl = model
    past(database, team, mdl, seconds=200, steps=100)  # 2 s a step
    past(database, team, mdl, seconds=800, steps=200)  # 4 s a step
    for left in (30.0, 100.0):  # two places
        submit_for(database, team, model_id=mdl)
        change(database, claim_id(database) or "", eta_s=left)
    waiting = [submit_for(database, team, model_id=mdl, total_steps=steps) for steps in (10, 10, 50)]
    # 3 s a step: the first from 30 to 60, the second in the same place to 90, the third from 90 to 240
    etas = [(found := place(database, job_id)) and found.eta_s for job_id in waiting]
    assert etas == [pytest.approx(60, abs=0.5), pytest.approx(90, abs=0.5), pytest.approx(240, abs=1)]


def test_jobs_of_several_gpus_are_estimated_among_their_own_kind(database: Database, model: tuple[str, str]) -> None:
    team, mdl = model
    past(database, team, mdl, seconds=300, steps=100, gpus=2)
    past(database, team, mdl, seconds=800, steps=100)  # alone it would take longer
    submit_for(database, team, model_id=mdl, gpus=2)
    change(database, claim_id(database, gpus=2) or "", eta_s=30.0)
    first, other, last = (submit_for(database, team, model_id=mdl, total_steps=10, gpus=gpus) for gpus in (2, 1, 2))
    found = place(database, first)
    assert found is not None
    assert found.eta_s == pytest.approx(60, abs=0.5)
    assert place(database, other) == Place(2, None)
    assert place(database, last) == Place(3, None), "which place the other will take is not known"


@pytest.mark.parametrize(
    "unknown", ["nothing runs", "no such job ever ended", "a running job does not say", "other GPUs", "interrupted"]
)
def test_what_cannot_be_told_is_not_told(database: Database, model: tuple[str, str], unknown: str) -> None:
    team, mdl = model
    if unknown != "no such job ever ended":
        past(database, team, mdl, seconds=200, steps=100, attempt=2 if unknown == "interrupted" else 1)
    if unknown != "nothing runs":
        submit_for(database, team, model_id=mdl)
        running = claim_id(database)
        change(database, running or "", eta_s=None if unknown == "a running job does not say" else 10.0)
    gpus = 2 if unknown == "other GPUs" else 1
    job_id = submit_for(database, team, model_id=mdl, total_steps=10, gpus=gpus)
    assert place(database, job_id) == Place(1, None)


def test_far_back_in_the_line_nothing_is_estimated(database: Database, model: tuple[str, str]) -> None:
    team, mdl = model
    past(database, team, mdl, seconds=100, steps=100)
    submit_for(database, team, model_id=mdl)
    change(database, claim_id(database) or "", eta_s=0.0)
    waiting = [submit_for(database, team, model_id=mdl, total_steps=1) for _ in range(21)]
    found = [place(database, job_id) for job_id in waiting[-2:]]
    assert [each and each.eta_s is not None for each in found] == [True, False]
