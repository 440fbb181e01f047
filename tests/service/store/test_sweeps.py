"""Sweeps: all of their jobs or none, once per key, and found without a look at other jobs."""

import threading
from datetime import UTC, datetime

import pytest
from sqlalchemy import text

from store import (
    Database,
    IdempotencyConflict,
    NewJob,
    NewSweep,
    NotFound,
    QueueFull,
    Sweep,
    SweepRefused,
    cancel_sweep,
    create_sweep,
    delete_job,
    delete_sweep,
    get_sweep,
    jobs_of_sweep,
    jobs_to_delete,
    list_jobs,
    list_sweeps,
    request_cancel,
    retry_job,
    statuses_of_sweeps,
)
from tests.service.store.garden import add_finished, make_team
from tests.service.store.plans import plans

NEW = NewSweep("three", {"method": "movement"}, {"training.seed": [3, 1, 2], "method": ["movement"]})
JOBS = [NewJob(method="movement", target_sparsity=0.5, spec={"training": {"seed": seed}}) for seed in (3, 1, 2)]


def submit(database: Database, team: str, key: str | None = None, body: str = "b", limit: int | None = None) -> Sweep:
    with database.write() as session:
        return create_sweep(session, team, NEW, JOBS, idempotency_key=key, body_sha256=body, max_queued=limit)


def test_a_sweep_comes_back_with_its_grid_in_order_and_its_jobs(database: Database, team: str) -> None:
    made = submit(database, team)
    others = make_team(database, "others")
    with database.read() as session:
        found = get_sweep(session, team, made.id)
        jobs = jobs_of_sweep(session, team, made.id)
        assert [each.id for each in list_sweeps(session, team).data] == [made.id]
        assert list_sweeps(session, others).data == []
        assert statuses_of_sweeps(session, team, [made.id]) == {made.id: ["queued"] * 3}
        assert statuses_of_sweeps(session, others, [made.id]) == {made.id: []}
        with pytest.raises(NotFound, match="no sweep"):
            jobs_of_sweep(session, others, made.id)
    assert (found.name, found.base, list(found.grid.items())) == (NEW.name, NEW.base, list(NEW.grid.items()))
    assert [(job.sweep_position, job.spec) for job in jobs] == [(i, job.spec) for i, job in enumerate(JOBS)]


def test_a_sweep_over_the_limit_leaves_nothing(database: Database, team: str) -> None:
    with pytest.raises(QueueFull, match="would add 3"):
        submit(database, team, limit=2)
    submit(database, team, limit=3)
    with database.read() as session:
        assert len(list_sweeps(session, team).data) == 1
        assert len(list_jobs(session, team).data) == 3


def test_of_equal_requests_at_once_one_makes_the_sweep(database: Database, team: str) -> None:
    made: list[str] = []
    racers = [threading.Thread(target=lambda: made.append(submit(database, team, "k").id)) for _ in range(5)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert len(made) == 5
    assert len(set(made)) == 1
    with pytest.raises(IdempotencyConflict):
        submit(database, team, "k", "another body")


def test_a_sweep_is_cancelled_and_deleted_with_what_was_tried_again(database: Database, team: str) -> None:
    made = submit(database, team)
    with database.write() as session:
        first = jobs_of_sweep(session, team, made.id)[0]
        request_cancel(session, team, first.id)
        again = retry_job(session, team, first.id)
    with database.read() as session:
        assert jobs_of_sweep(session, team, made.id)[0].id == again.id
        with pytest.raises(SweepRefused, match="3 of its jobs have not ended"):
            jobs_to_delete(session, team, made.id)
    with database.write() as session:
        cancel_sweep(session, team, made.id)
        assert statuses_of_sweeps(session, team, [made.id]) == {made.id: ["cancelled"] * 3}
        with pytest.raises(SweepRefused, match="have ended"):
            cancel_sweep(session, team, made.id)
        with pytest.raises(SweepRefused, match="tried again"):
            delete_sweep(session, team, made.id)
        jobs = jobs_to_delete(session, team, made.id)
        assert {first.id, again.id} < set(jobs)
        for job_id in jobs:
            delete_job(session, team, job_id)
        delete_sweep(session, team, made.id)
        with pytest.raises(NotFound):
            get_sweep(session, team, made.id)


@pytest.mark.slow
def test_a_sweep_is_found_without_a_look_at_other_jobs(database: Database, team: str) -> None:
    add_finished(database, team, 20_000, created_at=datetime(2026, 1, 1, tzinfo=UTC))
    made = submit(database, team)
    if database.engine.dialect.name == "postgresql":
        with database.engine.begin() as connection:
            connection.execute(text("ANALYZE"))
    with plans(database) as found, database.read() as session:
        jobs_of_sweep(session, team, made.id)
        statuses_of_sweeps(session, team, [made.id])
    assert len(found) == 2
    for plan in found:
        assert "ix_job_sweep_id_sweep_position_id" in plan, plan
