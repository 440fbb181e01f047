"""Stopping a worker: its job is put back, nobody is left behind, and another worker finishes it."""

import signal
from collections.abc import Callable

import pytest

from store import JobStatus
from tests.service.worker.running import Running, until
from tests.service.worker.stage import Stage, broker_process


def handed_back(stage: Stage, job_id: str) -> None:
    """See that the job waits again, without a crash to its name."""
    job = stage.job(job_id)
    assert (job.status, job.crashes, job.not_before) == (JobStatus.QUEUED, 0, None), stage.told(job_id)
    assert stage.outcomes(job_id) == ["preempted"]
    assert list(stage.scratch.iterdir()) == []


def test_a_stopped_worker_hands_its_job_back_and_another_finishes_it(stage: Stage) -> None:
    worker = stage.worker(lease_s=60)
    job_id = stage.submit(steps=1000)
    until(lambda: stage.is_training(job_id), told=lambda: stage.told(job_id))
    worker.signal(signal.SIGTERM)
    worker.signal(signal.SIGTERM)  # an impatient operator
    assert worker.ends(within_s=20) == 0
    handed_back(stage, job_id)
    stage.worker()
    stage.ring("default")
    stage.wait_for(job_id, JobStatus.SUCCEEDED)
    assert stage.outcomes(job_id) == ["preempted", "succeeded"]
    stage.audit(job_id)


def term_all(worker: Running) -> None:
    """systemd, and `pkill celery`."""
    worker.signal(signal.SIGTERM, whole_tree=True)


def quit_(worker: Running) -> None:
    """Celery's cold shutdown."""
    worker.signal(signal.SIGQUIT)


@pytest.mark.parametrize("stop", [term_all, quit_])
def test_however_a_worker_is_told_to_stop_no_job_is_lost(stage: Stage, stop: Callable[[Running], None]) -> None:
    worker = stage.worker(lease_s=60)
    job_id = stage.submit(steps=1000)
    until(lambda: stage.is_training(job_id), told=lambda: stage.told(job_id))
    worker.tree()
    stop(worker)
    worker.ends(within_s=30)
    handed_back(stage, job_id)


def test_a_stop_while_the_trainer_starts_is_no_crash(stage: Stage) -> None:
    worker = stage.worker(lease_s=60)
    job_id = stage.submit()
    until(worker.trainers)
    worker.signal(signal.SIGTERM)
    assert worker.ends(within_s=20) == 0
    handed_back(stage, job_id)


def test_a_trainer_that_does_not_listen_is_killed_after_its_grace(stage: Stage) -> None:
    # The grace is longer than the lease: it is renewed meanwhile, or the reconciler would take the job away.
    worker = stage.worker(lease_s=2, stop_grace_s=3)
    stage.reconciler()
    job_id = stage.submit(behaviour="deaf", steps=1000)
    until(lambda: stage.is_training(job_id), told=lambda: stage.told(job_id))
    worker.signal(signal.SIGTERM)
    assert worker.ends(within_s=25) == 0
    handed_back(stage, job_id)


def test_a_stop_comes_through_while_the_broker_is_away(stage: Stage) -> None:
    worker = stage.worker(lease_s=60)
    job_id = stage.submit(steps=1000)
    until(lambda: stage.is_training(job_id), told=lambda: stage.told(job_id))
    broker_process(stage).kill()
    until(lambda: "onnection to broker lost" in worker.log(), told=worker.log)
    worker.signal(signal.SIGTERM)
    worker.ends(within_s=30)
    handed_back(stage, job_id)


def test_a_job_put_down_by_its_trainer_alone_is_no_crash(stage: Stage) -> None:
    worker = stage.worker()
    job_id = stage.submit(steps=1000)
    until(lambda: stage.is_training(job_id), told=lambda: stage.told(job_id))
    [trainer] = worker.trainers()
    trainer.terminate()
    stage.wait_for(job_id, JobStatus.SUCCEEDED)  # the worker takes it up again at once
    assert stage.outcomes(job_id) == ["preempted", "succeeded"]
