"""Deleting: all that was a job's goes with it, what others share stays, and what is in use cannot go."""

from datetime import timedelta

import pytest
from sqlalchemy import func, select

from store import (
    Database,
    DatabaseBlobStore,
    InUse,
    NewJob,
    NotFound,
    TransitionRefused,
    create_job,
    delete_dataset,
    delete_job,
    delete_model,
    get_job,
    keep_log,
    record_progress,
    request_cancel,
    retry_job,
)
from store.blobs import LONGEST_UPLOAD_S
from store.tables import Base, Job
from tests.service.store.ended import begin, blobs, claim_any, fail, inputs, names_left, save, steps_saved, succeed
from tests.service.store.virtual_clock import VirtualClock

LATER = timedelta(seconds=LONGEST_UPLOAD_S + 1)


def rows(database: Database) -> dict[str, int]:
    with database.read() as session:
        return {
            table.name: session.scalar(select(func.count()).select_from(table)) or 0
            for table in Base.metadata.sorted_tables
        }


def test_nothing_is_left_of_a_deleted_job(clock: VirtualClock, database: Database, team: str) -> None:
    before = rows(database), blobs(database)
    fence = begin(database, team)
    save(database, fence, 10)
    with database.write() as session:
        record_progress(session, fence, step=10, metrics=[("loss", 10, 0.5)])
        keep_log(session, fence, "a line", 6)
    with pytest.raises(TransitionRefused), database.write() as session:
        delete_job(session, team, fence.job_id)
    succeed(database, fence, 0.5, ["report.json"])
    clock.wait_until(clock.now + LATER)
    with database.write() as session:
        delete_job(session, team, fence.job_id)
    DatabaseBlobStore(database).sweep(60.0)  # the checkpoint's file, let go when the job ended, was young then
    assert (rows(database), blobs(database)) == before
    with pytest.raises(NotFound), database.write() as session:
        delete_job(session, team, fence.job_id)


def test_what_a_retry_shares_with_a_deleted_job_stays(clock: VirtualClock, database: Database, team: str) -> None:
    fence = begin(database, team)
    save(database, fence, 10)
    fail(database, fence)
    with database.write() as session:
        again = retry_job(session, team, fence.job_id).id
    clock.wait_until(clock.now + LATER)
    with database.write() as session:
        delete_job(session, team, fence.job_id)
    assert steps_saved(database, again) == [10]
    with database.read() as session:
        assert get_job(session, team, again).retry_of == fence.job_id


def test_a_file_with_the_same_content_stays_for_the_other_job(
    clock: VirtualClock, database: Database, team: str
) -> None:
    first, second = (succeed(database, begin(database, team), 0.5, ["same"]) for _ in range(2))
    clock.wait_until(clock.now + LATER)
    with database.write() as session:
        delete_job(session, team, first)
    assert "same" in names_left(database, team, second)


def test_inputs_wait_for_the_jobs_that_use_them(database: Database, team: str) -> None:
    dataset, model = inputs(database, team, "a")
    fence = begin(database, team, (dataset, model))
    for delete, id_ in ((delete_dataset, dataset), (delete_model, model)):
        with pytest.raises(InUse, match=fence.job_id), database.write() as session:
            delete(session, team, id_)
    succeed(database, fence, 0.5)
    for delete, id_ in ((delete_dataset, dataset), (delete_model, model)):
        with database.write() as session:
            delete(session, team, id_)
        with pytest.raises(NotFound), database.write() as session:
            delete(session, team, id_)
    with database.read() as session:
        job = get_job(session, team, fence.job_id)
    assert (job.dataset_id, job.model_id) == (None, None)


def test_a_teacher_is_in_use(database: Database, team: str) -> None:
    _, model = inputs(database, team, "a")
    spec = {"distillation": {"teacher": f"upload://{model}"}}
    with database.write() as session:
        job = create_job(session, team, NewJob(method="movement", target_sparsity=0.9, spec=spec)).job.id
    with pytest.raises(InUse, match=job), database.write() as session:
        delete_model(session, team, model)
    with database.write() as session:
        request_cancel(session, team, job)
        delete_model(session, team, model)
    assert claim_any(database) is None


def test_another_team_deletes_nothing(database: Database, team: str) -> None:
    dataset, model = inputs(database, team, "a")
    job = succeed(database, begin(database, team, (dataset, model)), 0.5)
    for delete, id_ in ((delete_job, job), (delete_dataset, dataset), (delete_model, model)):
        with pytest.raises(NotFound), database.write() as session:
            delete(session, "team_of_others", id_)
    with database.read() as session:
        assert session.get(Job, job) is not None
