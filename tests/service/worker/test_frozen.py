"""A database that is away: the trainer stands still near its lease's end, and goes on if the job is still its own."""

import signal
import time

import psutil
import pytest

from store import JobStatus
from tests.service.conftest import PostgresServer
from tests.service.worker.running import until
from tests.service.worker.stage import Stage
from worker.process import PULSE
from worker.pulse import Pulse


def backends(server: PostgresServer) -> list[psutil.Process]:
    """Every process of the database server."""
    [postmaster] = [
        each
        for each in psutil.process_iter(["cmdline"])
        if str(server.folder) in " ".join(each.info["cmdline"] or []) and each.info["cmdline"][0].endswith("postgres")
    ]
    return [postmaster, *postmaster.children(recursive=True)]


@pytest.mark.postgres
def test_while_the_database_hangs_the_trainer_stands_still_and_then_goes_on(
    postgres_stage: Stage, postgres_server: PostgresServer
) -> None:
    stage = postgres_stage
    worker = stage.worker(lease_s=3, renew_s=0.5)
    job_id = stage.submit(behaviour="steady", steps=60, step_s=0.1)
    until(lambda: stage.is_training(job_id), told=lambda: stage.told(job_id))
    [trainer] = worker.trainers()
    [pulse] = [Pulse(file) for file in stage.scratch.glob(f"*/{PULSE}")]
    frozen = backends(postgres_server)
    for each in frozen:
        each.send_signal(signal.SIGSTOP)
    try:
        # It is stopped, or waits in a write that is fenced: which of them depends on where the database hung.
        until(lambda: trainer.status() == psutil.STATUS_STOPPED or pulse.writing, told=worker.log)
        time.sleep(3.0)
        beat = pulse.beat
        time.sleep(1.0)
        assert pulse.beat == beat, "it stands still"
        assert trainer.is_running(), "it is not killed: its work is worth keeping"
    finally:
        for each in reversed(frozen):
            each.send_signal(signal.SIGCONT)
    until(lambda: pulse.beat > beat, told=worker.log)
    stage.wait_for(job_id, JobStatus.SUCCEEDED)
    assert stage.outcomes(job_id) == ["succeeded"], "the same attempt went on"
    stage.audit(job_id)


def test_a_trainer_is_not_stopped_within_a_transaction_whose_lock_the_renewal_needs(stage: Stage) -> None:
    """SQLite has one writer: a trainer that was stopped within its commit would keep the lock for good."""
    stage.worker(lease_s=3, renew_s=0.5)
    job_id = stage.submit(behaviour="slow_commit", steps=60, step_s=0.1)
    stage.wait_for(job_id, JobStatus.SUCCEEDED, patience_s=60)
    assert stage.outcomes(job_id) == ["succeeded"], "the same attempt went on"
    stage.audit(job_id)
