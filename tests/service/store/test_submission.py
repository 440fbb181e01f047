"""Submitting: a job, its first event and its idempotency key, all or nothing, once per key."""

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy import inspect, update

from store import (
    Database,
    IdempotencyConflict,
    Job,
    JobStatus,
    JsonValue,
    NewJob,
    NotFound,
    Submission,
    Submitted,
    create_job,
    create_jobs,
    ensure_team,
    events_after,
    get_job,
    list_jobs,
)
from store.clock import db_now
from store.tables import IdempotencyKey

NEW = NewJob(method="movement", target_sparsity=0.9, spec={"a": [1, None]}, tags={"k": "v"}, warnings=["few rows"])


def test_a_submitted_job_waits_and_says_so_in_its_first_event(database: Database, team: str) -> None:
    with database.write() as session:
        job_id = create_job(session, team, NEW).job.id
    with database.read() as session:
        job = get_job(session, team, job_id)
        (event,) = events_after(session, team, job_id)
    assert (job.status, job.attempt, job.version) == (JobStatus.QUEUED, 0, 1)
    assert (job.spec, job.tags, job.warnings, job.result) == ({"a": [1, None]}, {"k": "v"}, ["few rows"], None)
    assert job.created_at.utcoffset() is not None
    assert (event.seq, event.type, event.data) == (1, "submitted", {"status": "queued"})


def test_jobs_submitted_together_are_returned_as_they_are_read(database: Database, team: str) -> None:
    others = [replace(NEW, name="second", priority=3, gpus=2, total_steps=7), replace(NEW, tags={}, warnings=[])]
    with database.write() as session:
        submitted = create_jobs(session, team, [Submission(each) for each in [NEW, *others]])
    columns = inspect(Job).columns.keys()
    with database.read() as session:
        for each in submitted:
            assert isinstance(each, Submitted)
            read = get_job(session, team, each.job.id)
            assert {name: getattr(each.job, name) for name in columns} == {
                name: getattr(read, name) for name in columns
            }


def test_a_document_holds_nothing_that_a_database_refuses(database: Database, team: str) -> None:
    spec: dict[str, JsonValue] = {"lost": math.nan, "a\0": ["b\0", "\\u0000", math.inf, "ä\ud83d\ude00"]}
    with database.write() as session:
        job_id = create_job(session, team, replace(NEW, spec=spec)).job.id
    with database.read() as session:
        read = get_job(session, team, job_id).spec
    assert read == {"lost": None, "a\ufffd": ["b\ufffd", "\\u0000", None, "ä\U0001f600"]}


def test_the_same_request_again_gets_the_first_job(database: Database, team: str) -> None:
    with database.write() as session:
        first = create_job(session, team, NEW, idempotency_key="k", body_sha256="1")
    with database.write() as session:
        again = create_job(session, team, NEW, idempotency_key="k", body_sha256="1")
    assert (first.replayed, again.replayed) == (False, True)
    assert again.job.id == first.job.id


def test_another_body_under_the_same_key_is_refused(database: Database, team: str) -> None:
    with database.write() as session:
        create_job(session, team, NEW, idempotency_key="k", body_sha256="1")
    with pytest.raises(IdempotencyConflict, match="'k'"), database.write() as session:
        create_job(session, team, NEW, idempotency_key="k", body_sha256="2")


def test_a_job_whose_teacher_is_gone_is_not_stored(database: Database, team: str) -> None:
    """Between the check and the commit somebody may delete it: no column of the job holds it."""
    new = replace(NEW, spec={"distillation": {"teacher": "upload://mdl_gone"}})
    with pytest.raises(NotFound, match="mdl_gone"), database.write() as session:
        create_job(session, team, new)
    with database.write() as session:
        create_job(session, team, replace(NEW, spec={"distillation": {"teacher": "self"}}))
    with database.read() as session:
        assert len(list_jobs(session, team).data) == 1


def test_teams_do_not_share_keys(database: Database, team: str) -> None:
    with database.write() as session:
        other = ensure_team(session, "others").id
        first = create_job(session, team, NEW, idempotency_key="k", body_sha256="1")
        second = create_job(session, other, NEW, idempotency_key="k", body_sha256="2")
    assert not second.replayed
    assert first.job.id != second.job.id


def test_a_key_is_free_again_after_a_day(database: Database, team: str) -> None:
    with database.write() as session:
        first = create_job(session, team, NEW, idempotency_key="k", body_sha256="1").job.id
        session.execute(update(IdempotencyKey).values(created_at=db_now(-24 * 3600 - 1)))
    with database.write() as session:
        second = create_job(session, team, NEW, idempotency_key="k", body_sha256="2")
    assert not second.replayed
    assert second.job.id != first


def test_of_many_equal_requests_at_once_one_submits(database: Database, team: str) -> None:
    def request(_: int) -> str:
        with database.write() as session:
            return create_job(session, team, NEW, idempotency_key="k", body_sha256="1").job.id

    with ThreadPoolExecutor(8) as pool:
        answers = set(pool.map(request, range(16)))
    with database.read() as session:
        assert {job.id for job in list_jobs(session, team).data} == answers
    assert len(answers) == 1


def test_another_teams_job_is_not_found(database: Database, team: str) -> None:
    with database.write() as session:
        job_id = create_job(session, team, NEW).job.id
        other = ensure_team(session, "others").id
    with database.read() as session:
        for read in (get_job, events_after):
            with pytest.raises(NotFound, match="no job"):
                read(session, other, job_id)
