"""Endings: each leaves the job, its attempt and its events in one agreed state, and zombies change nothing."""

import math
from collections.abc import Callable

import pytest
from sqlalchemy import update

from store import (
    BlobRef,
    Claim,
    Database,
    DatabaseBlobStore,
    Fence,
    FenceLost,
    Job,
    JobError,
    JobStatus,
    JsonObject,
    NewArtifact,
    NewLayer,
    NotFound,
    TransitionRefused,
    WriteSession,
    add_event,
    claim_next,
    events_after,
    finish_cancelled,
    finish_failed,
    finish_succeeded,
    get_artifact,
    layers_of,
    list_artifacts,
    record_progress,
    release_crashed,
    release_preempted,
    request_cancel,
    requeue_expired,
)
from store.tables import Attempt

ERROR = JobError("out_of_memory", "The trainer ran out of memory. Lower training.batch_size.", "Killed\0")


@pytest.fixture
def report(database: Database) -> BlobRef:
    """A stored file."""
    return DatabaseBlobStore(database).write([b"{}"])


def test_the_time_that_is_left_goes_with_the_attempt_that_told_it(
    database: Database, running: Fence, claim: Callable[[], Claim | None], look: Callable[[str], Job]
) -> None:
    with database.write() as session:
        record_progress(session, running, step=10, eta_s=100.0)
    assert look(running.job_id).eta_s == 100.0
    with database.write() as session:
        release_preempted(session, running)
    assert claim() is not None
    job = look(running.job_id)
    assert (job.status, job.step, job.eta_s) == (JobStatus.RUNNING, 10, None), "the next one has not told its own"


def test_a_job_succeeds_with_its_files_and_masks(
    database: Database, team: str, running: Fence, report: BlobRef, look: Callable[[str], Job]
) -> None:
    with database.write() as session:
        ended = finish_succeeded(
            session,
            running,
            {"eval": {"accuracy": 0.86, "loss": math.nan}},
            [NewArtifact("report.json", "report", "application/json", report)],
            [NewLayer("layer.0", (2, 3), 4, 6), NewLayer("layer.1", [3], 1, 3)],
        )
    assert ended is JobStatus.SUCCEEDED
    job = look(running.job_id)
    assert (job.status, job.result) == (ended, {"eval": {"accuracy": 0.86, "loss": None}})
    assert job.finished_at is not None
    with database.read() as session:
        (artifact,) = list_artifacts(session, team, job.id)
        assert (artifact.name, artifact.size, artifact.sha256) == ("report.json", 2, report.sha256)
        assert get_artifact(session, team, job.id, "report.json") is artifact
        with pytest.raises(NotFound, match="no artifact"):
            get_artifact(session, team, job.id, "model.onnx")
        assert [(layer.name, layer.shape, layer.kept) for layer in layers_of(session, team, job.id)] == [
            ("layer.0", [2, 3], 4),
            ("layer.1", [3], 1),
        ]
        assert session.get_one(Attempt, (job.id, 1)).outcome == "succeeded"


@pytest.mark.parametrize(
    ("result", "quality"),
    [
        ({"primary_metric": "f1", "eval": {"f1": 0.5, "loss": 2.0}}, 0.5),
        ({"primary_metric": "f1", "eval": {"f1": 1}}, 1.0),
        ({"primary_metric": "pearson", "eval": {"pearson": math.nan}}, None),
        ({"primary_metric": "f1", "eval": {"accuracy": 0.5}}, None),
        ({"eval": {"accuracy": 0.5}}, None),
        ({}, None),
    ],
)
def test_the_value_of_the_primary_metric_is_the_jobs_quality(
    database: Database, running: Fence, look: Callable[[str], Job], result: JsonObject, quality: float | None
) -> None:
    with database.write() as session:
        finish_succeeded(session, running, result, [], [])
    assert look(running.job_id).quality == quality


def test_a_job_fails_with_its_error_even_if_the_log_holds_a_nul(
    database: Database, running: Fence, look: Callable[[str], Job]
) -> None:
    with database.write() as session:
        assert finish_failed(session, running, ERROR) is JobStatus.FAILED
    assert look(running.job_id).error == {
        "code": "out_of_memory",
        "detail": ERROR.detail,
        "log_tail": "Killed\ufffd",
    }


def test_a_cancel_that_came_first_wins_over_success(
    database: Database, team: str, running: Fence, report: BlobRef, look: Callable[[str], Job]
) -> None:
    with database.write() as session:
        request_cancel(session, team, running.job_id)
    artifact = NewArtifact("report.json", "report", "application/json", report)
    with database.write() as session:
        assert finish_succeeded(session, running, {}, [artifact], []) is JobStatus.CANCELLED
    assert look(running.job_id).result is None
    with database.read() as session:
        assert list_artifacts(session, team, running.job_id) == []


def test_cancelling_waits_for_the_worker_and_asking_again_changes_nothing(
    database: Database, team: str, running: Fence
) -> None:
    versions = []
    for _ in range(2):
        with database.write() as session:
            job = request_cancel(session, team, running.job_id)
        assert job.status is JobStatus.CANCELLING
        versions.append(job.version)
    assert versions[0] == versions[1]
    with database.write() as session:
        assert finish_cancelled(session, running) is JobStatus.CANCELLED
    with pytest.raises(TransitionRefused, match="is cancelled"), database.write() as session:
        request_cancel(session, team, running.job_id)


def test_a_waiting_job_is_cancelled_at_once(
    database: Database, team: str, submit: Callable[[], str], claim: Callable[[], Claim | None]
) -> None:
    job_id = submit()
    with database.write() as session:
        assert request_cancel(session, team, job_id).status is JobStatus.CANCELLED
    assert claim() is None


def test_nobody_cancels_what_was_not_asked_for(database: Database, running: Fence) -> None:
    with pytest.raises(ValueError, match="Nobody asked"), database.write() as session:
        finish_cancelled(session, running)


def test_a_preempted_job_waits_again_at_once_and_no_crash_is_counted(
    database: Database, running: Fence, claim: Callable[[], Claim | None], look: Callable[[str], Job]
) -> None:
    with database.write() as session:
        assert release_preempted(session, running) is JobStatus.QUEUED
    assert look(running.job_id).crashes == 0
    again = claim()
    assert again is not None
    assert again.fence == Fence(running.job_id, 2)


def test_a_crashed_job_backs_off(database: Database, running: Fence, look: Callable[[str], Job]) -> None:
    with database.write() as session:
        assert release_crashed(session, running, ERROR) is JobStatus.QUEUED
    job = look(running.job_id)
    assert job.crashes == 1
    assert job.not_before is not None
    assert job.error is None


ZOMBIE_WRITES: dict[str, Callable[[WriteSession, Fence], object]] = {
    "event": lambda session, fence: add_event(session, fence, "phase"),
    "progress": lambda session, fence: record_progress(session, fence, step=9, metrics=[("loss", 9, 0.1)]),
    "success": lambda session, fence: finish_succeeded(session, fence, {}, [], []),
    "failure": lambda session, fence: finish_failed(session, fence, ERROR),
    "cancel": finish_cancelled,
    "preemption": release_preempted,
    "crash": lambda session, fence: release_crashed(session, fence, ERROR),
}


@pytest.fixture(params=["requeued", "taken over"])
def zombie(database: Database, running: Fence, lapse: Callable[[Fence], None], request: pytest.FixtureRequest) -> Fence:
    """The fence of an attempt whose job was given back, or has another owner already."""
    lapse(running)
    with database.write() as session:
        requeue_expired(session)
        session.execute(update(Job).values(not_before=None))
    if request.param == "taken over":
        with database.write() as session:
            assert claim_next(session, "default", "worker-2", 60.0) is not None
    return running


@pytest.mark.parametrize("write", sorted(ZOMBIE_WRITES))
def test_a_zombie_changes_nothing(
    database: Database, team: str, zombie: Fence, look: Callable[[str], Job], write: str
) -> None:
    before = look(zombie.job_id)
    with pytest.raises(FenceLost, match="Attempt 1 no longer owns"), database.write() as session:
        ZOMBIE_WRITES[write](session, zombie)
    after = look(zombie.job_id)
    assert (after.status, after.version, after.event_seq) == (before.status, before.version, before.event_seq)
    with database.read() as session:
        assert len(events_after(session, team, zombie.job_id)) == after.event_seq
