"""Cancels and time limits: the job ends as asked, its trainer is gone, and nothing of it is kept."""

import signal
from contextlib import suppress

from sqlalchemy import update

from store import JobStatus, TransitionRefused, request_cancel
from store.clock import db_now
from store.tables import Attempt
from tests.service.worker.running import until
from tests.service.worker.stage import Stage


def cancel(stage: Stage, job_id: str) -> None:
    """Ask for a cancel as the API does."""
    with stage.database.write() as session:
        request_cancel(session, stage.job(job_id).team_id, job_id)


def nothing_is_left(stage: Stage, job_id: str) -> None:
    """See that trainer, folder and files are gone."""
    until(lambda: not list(stage.scratch.iterdir()))
    assert stage.trainers() == []
    assert stage.artifacts(job_id) == []
    stage.audit(job_id)


def test_a_queued_job_is_cancelled_at_once_and_never_begun(manned: Stage) -> None:
    job_id = manned.submit(ring=False, queue="nobody-listens")
    cancel(manned, job_id)
    assert manned.job(job_id).status is JobStatus.CANCELLED
    manned.ring("nobody-listens")
    other = manned.submit(steps=2)
    manned.wait_for(other, JobStatus.SUCCEEDED)
    assert manned.attempts(job_id) == []
    manned.audit(job_id)


def test_a_cancel_reaches_a_trainer_that_is_still_starting_also_below_a_shell_that_ignores_ctrl_c(stage: Stage) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as for what a script starts with `&`; children inherit it
    try:
        worker = stage.worker(stop_grace_s=60)
    finally:
        signal.signal(signal.SIGINT, before)
    job_id = stage.submit(steps=1000)
    until(worker.trainers)
    cancel(stage, job_id)
    stage.wait_for(job_id, JobStatus.CANCELLED, patience_s=30)
    nothing_is_left(stage, job_id)


def test_a_running_job_is_cancelled_within_the_grace(manned: Stage) -> None:
    job_id = manned.submit(steps=1000)
    until(lambda: manned.is_training(job_id), told=lambda: manned.told(job_id))
    cancel(manned, job_id)
    manned.wait_for(job_id, JobStatus.CANCELLED, patience_s=20)
    assert manned.outcomes(job_id) == ["cancelled"]
    nothing_is_left(manned, job_id)


def test_a_trainer_that_does_not_listen_is_killed_by_a_cancel(manned: Stage) -> None:
    job_id = manned.submit(behaviour="deaf", steps=1000)
    until(lambda: manned.is_training(job_id), told=lambda: manned.told(job_id))
    cancel(manned, job_id)
    manned.wait_for(job_id, JobStatus.CANCELLED, patience_s=20)
    nothing_is_left(manned, job_id)


def test_a_cancel_while_the_trainer_starts_is_obeyed(manned: Stage) -> None:
    job_id = manned.submit(steps=1000)
    manned.wait_for(job_id, JobStatus.RUNNING)
    cancel(manned, job_id)
    manned.wait_for(job_id, JobStatus.CANCELLED, patience_s=20)
    nothing_is_left(manned, job_id)


def test_a_cancel_that_races_with_the_end_has_one_winner(manned: Stage) -> None:
    job_id = manned.submit(steps=10, step_s=0.01)
    until(manned.outputs, told=lambda: manned.told(job_id))  # training is over, publication begins
    with suppress(TransitionRefused):  # too late: one of the two good endings
        cancel(manned, job_id)
    until(lambda: manned.job(job_id).finished_at is not None)
    job = manned.job(job_id)
    assert job.status in {JobStatus.SUCCEEDED, JobStatus.CANCELLED}
    assert bool(manned.artifacts(job_id)) == (job.status is JobStatus.SUCCEEDED) == (job.result is not None)
    manned.audit(job_id)


def test_a_job_that_runs_too_long_fails_and_says_so(manned: Stage) -> None:
    job_id = manned.submit(steps=1000)
    until(lambda: manned.is_training(job_id), told=lambda: manned.told(job_id))
    with manned.database.write() as session:
        session.execute(update(Attempt).where(Attempt.job_id == job_id).values(deadline_at=db_now()))
    error = manned.wait_for(job_id, JobStatus.FAILED, patience_s=20).error
    assert error is not None
    assert error["code"] == "max_runtime_exceeded"
    assert "Retry the job" in str(error["detail"])
    assert "limits.max_runtime_s" in str(error["detail"])
    nothing_is_left(manned, job_id)
