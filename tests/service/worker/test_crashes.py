"""Crashes: whatever dies, the job is tried again, once at a time, and ends."""

import signal
from pathlib import Path

import pytest
from sqlalchemy import text

from store import JobStatus
from tests.service.worker.running import until
from tests.service.worker.stage import BROKEN, Stage


def test_a_killed_trainer_is_replaced_and_the_job_succeeds(stage: Stage) -> None:
    worker = stage.worker()
    stage.reconciler()
    job_id = stage.submit(steps=1000)
    until(lambda: stage.is_training(job_id), told=lambda: stage.told(job_id))
    [trainer] = worker.trainers()
    trainer.kill()
    waiting = stage.wait_for(job_id, JobStatus.QUEUED)
    assert waiting.not_before is not None, "a crash is followed by a pause"
    stage.no_backoff(job_id)
    ended = stage.wait_for(job_id, JobStatus.SUCCEEDED)
    assert (ended.attempt, ended.crashes) == (2, 1)
    assert stage.outcomes(job_id) == ["lost", "succeeded"]
    assert "SIGKILL" in str(stage.attempts(job_id)[0].detail)
    assert stage.artifacts(job_id) == ["report.json"]
    until(lambda: not list(stage.scratch.iterdir()))
    stage.audit(job_id)


@pytest.mark.postgres
def test_a_job_outlives_its_whole_worker(postgres_stage: Stage) -> None:
    stage = postgres_stage
    first = stage.worker()
    stage.reconciler()
    job_id = stage.submit(steps=1000)
    until(lambda: stage.is_training(job_id), told=lambda: stage.told(job_id))
    assert len(first.tree()) == 3, "Celery, supervisor, trainer"
    first.signal(signal.SIGKILL)  # the others end by the lifeline
    assert first.ends() == -signal.SIGKILL
    assert list(stage.scratch.iterdir()), "nobody was left to clear up"

    stage.worker()
    ended = stage.wait_for(job_id, JobStatus.SUCCEEDED)
    assert stage.outcomes(job_id) == ["lost", "succeeded"]
    assert [each.worker.split(":")[0] for each in stage.attempts(job_id)] == ["worker-0", "worker-2"]
    assert ended.crashes == 1
    until(lambda: not list(stage.scratch.iterdir()))  # the new worker has swept the old one's folder
    stage.audit(job_id)


def test_a_killed_supervisor_is_replaced_by_celery(stage: Stage) -> None:
    worker = stage.worker()
    stage.reconciler()
    job_id = stage.submit(steps=1000)
    until(lambda: stage.is_training(job_id), told=lambda: stage.told(job_id))
    [trainer] = worker.trainers()
    supervisor = trainer.parent()
    assert supervisor is not None
    supervisor.kill()
    until(lambda: not trainer.is_running())
    stage.wait_for(job_id, JobStatus.SUCCEEDED)
    stage.audit(job_id)


def test_a_trainer_that_cannot_start_shows_why_and_its_worker_leaves_the_next_job_to_others(stage: Stage) -> None:
    broken = stage.worker(science=BROKEN)
    job_id = stage.submit(max_attempts=1, priority=1)
    other = stage.submit()
    error = stage.wait_for(job_id, JobStatus.FAILED).error
    assert error is not None
    assert "ImportError: libcudart.so.99: cannot open shared object file" in str(error["log_tail"])
    until(lambda: broken.log().count("succeeded in") == 2, told=broken.log)  # it has heard both rings
    assert "worker_rests" in broken.log()
    assert stage.attempts(other) == []


def test_a_worker_that_cannot_write_leaves_the_jobs_to_others(stage: Stage, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    unfit = stage.worker(scratch_dir=tmp_path / "file" / "scratch")
    job_id = stage.submit()
    until(lambda: "scratch_unusable" in unfit.log())
    assert (stage.job(job_id).status, stage.job(job_id).attempt) == (JobStatus.QUEUED, 0)
    stage.worker()
    stage.reconciler()
    stage.wait_for(job_id, JobStatus.SUCCEEDED)


@pytest.mark.postgres
def test_a_job_goes_on_when_its_database_was_away_for_a_moment(postgres_stage: Stage) -> None:
    stage = postgres_stage
    worker = stage.worker(lease_s=20)
    job_id = stage.submit(steps=60)
    until(lambda: stage.is_training(job_id), told=lambda: stage.told(job_id))
    with stage.database.write() as session:
        others = "datname = current_database() AND pid <> pg_backend_pid()"
        session.execute(text(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}"))  # noqa: S608
    stage.wait_for(job_id, JobStatus.SUCCEEDED)
    assert stage.outcomes(job_id) == ["succeeded"], worker.log()
