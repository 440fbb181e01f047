"""Checkpoints of real workers: what dies, stops or is paused goes on where it was; what is damaged is passed over."""

import json
import signal
from collections.abc import Callable

import pytest
from sqlalchemy import select, update

from store import DatabaseBlobStore, JobStatus, checkpoints_of, get_artifact, request_pause, request_resume
from store.tables import BlobChunk, Job
from tests.service.worker.running import Running, until
from tests.service.worker.stage import Stage


def saved(stage: Stage, job_id: str) -> list[int]:
    """The steps of the job's checkpoints, the newest first."""
    with stage.database.read() as session:
        return [each.step for each in checkpoints_of(session, job_id)]


def begun_at(stage: Stage, job_id: str) -> int:
    """The step from which the last attempt of a finished job went on."""
    with stage.database.read() as session:
        team = session.scalars(select(Job.team_id).where(Job.id == job_id)).one()
        artifact = get_artifact(session, team, job_id, "report.json")
    report = json.loads(b"".join(DatabaseBlobStore(stage.database).read(artifact.blob_id)))
    return int(report["begun_at"])


def ask(stage: Stage, job_id: str, request: Callable[..., object]) -> None:
    with stage.database.write() as session:
        team = session.scalars(select(Job.team_id).where(Job.id == job_id)).one()
        request(session, team, job_id)


def test_what_was_killed_goes_on_from_its_last_checkpoint(stage: Stage) -> None:
    worker = stage.worker(checkpoint_steps=10)
    stage.reconciler()
    job_id = stage.submit(steps=1000)
    until(lambda: len(saved(stage, job_id)) == 2 and saved(stage, job_id)[0] >= 30, told=lambda: stage.told(job_id))
    [trainer] = worker.trainers()
    trainer.kill()
    stage.wait_for(job_id, JobStatus.QUEUED)
    newest = saved(stage, job_id)[0]
    stage.no_backoff(job_id)
    ended = stage.wait_for(job_id, JobStatus.SUCCEEDED)
    assert begun_at(stage, job_id) == newest
    assert ended.step == newest + 5
    assert stage.outcomes(job_id) == ["lost", "succeeded"]
    assert saved(stage, job_id) == [], "a finished job needs none"
    stage.audit(job_id)


def stop_the_worker(stage: Stage, worker: Running, job_id: str) -> None:
    worker.signal(signal.SIGTERM)
    assert worker.ends(within_s=30) == 0
    assert stage.job(job_id).status is JobStatus.QUEUED
    stage.worker()
    stage.ring("default")


def pause_and_resume(stage: Stage, worker: Running, job_id: str) -> None:
    ask(stage, job_id, request_pause)
    stage.wait_for(job_id, JobStatus.PAUSED)
    until(lambda: not worker.trainers())
    ask(stage, job_id, request_resume)
    stage.ring("default")


@pytest.mark.parametrize("interrupt", [stop_the_worker, pause_and_resume])
def test_a_stop_and_a_pause_lose_not_one_step(stage: Stage, interrupt: Callable[[Stage, Running, str], None]) -> None:
    worker = stage.worker()
    job_id = stage.submit(steps=1000)
    until(lambda: stage.is_training(job_id), told=lambda: stage.told(job_id))
    seen = stage.job(job_id).step
    interrupt(stage, worker, job_id)
    ended = stage.wait_for(job_id, JobStatus.SUCCEEDED)
    assert begun_at(stage, job_id) == ended.step - 5 >= seen
    assert stage.outcomes(job_id) == ["preempted", "succeeded"]
    assert ended.crashes == 0
    stage.audit(job_id)


@pytest.mark.parametrize("damaged", [1, 2])
def test_a_damaged_checkpoint_is_passed_over(stage: Stage, damaged: int) -> None:
    worker = stage.worker(checkpoint_steps=10)
    job_id = stage.submit(steps=1000)
    until(lambda: len(saved(stage, job_id)) == 2, told=lambda: stage.told(job_id))
    worker.signal(signal.SIGKILL)
    worker.ends()
    with stage.database.write() as session:
        chosen = checkpoints_of(session, job_id)[:damaged]
        ids = [each.blob_id for each in chosen]
        session.execute(update(BlobChunk).where(BlobChunk.blob_id.in_(ids)).values(data=b"rot", codec="raw"))
    older = [0, *reversed(saved(stage, job_id))][-1 - damaged]
    stage.worker()
    stage.reconciler()
    stage.wait_for(job_id, JobStatus.SUCCEEDED)
    assert begun_at(stage, job_id) == older
    assert [each.type for each in stage.events(job_id)].count("checkpoint_discarded") == damaged


def test_a_trainer_that_gets_no_further_is_killed_and_its_job_tried_again(stage: Stage) -> None:
    stage.worker(stalled_s=1)
    job_id = stage.submit(behaviour="stall", steps=10, max_attempts=1)
    ended = stage.wait_for(job_id, JobStatus.FAILED)
    assert ended.error is not None
    assert "got no further for 1 s" in str(ended.error["detail"])
    stage.audit(job_id)


def test_work_between_two_steps_that_gets_on_is_not_taken_for_a_stall(stage: Stage) -> None:
    """Judging many rows, or fitting a large model to its dense one, may take longer than a stall is suffered."""
    stage.worker(stalled_s=6)  # a trainer has to start within them, too, on a machine with much else to do
    judged = stage.submit(behaviour="judge", steps=2, max_attempts=1)
    stage.wait_for(judged, JobStatus.SUCCEEDED)
    assert stage.outcomes(judged) == ["succeeded"]
