"""Zombies: a worker that was suspended past its lease finds its job in other hands, writes nothing and goes on."""

import pytest

from store import JobStatus
from tests.service.worker.running import frozen, until
from tests.service.worker.stage import Stage


@pytest.mark.postgres
def test_nothing_of_a_zombie_is_ever_written(postgres_stage: Stage) -> None:
    stage = postgres_stage
    zombie = stage.worker()
    stage.reconciler()
    job_id = stage.submit(behaviour="steady", steps=60)
    until(lambda: stage.is_training(job_id), told=lambda: stage.told(job_id))
    with frozen(zombie):
        stage.wait_for(job_id, JobStatus.QUEUED)
        stage.no_backoff(job_id)
        stage.worker()
        until(lambda: stage.is_training(job_id, attempt=2), told=lambda: stage.told(job_id))
        before = [(each.seq, each.type) for each in stage.events(job_id)]
    until(lambda: not zombie.trainers(), told=zombie.log)
    assert [(each.seq, each.type) for each in stage.events(job_id)] == before
    assert stage.job(job_id).attempt == 2
    stage.wait_for(job_id, JobStatus.SUCCEEDED)
    assert stage.outcomes(job_id) == ["lost", "succeeded"]
    stage.audit(job_id)

    after = stage.submit(steps=3)  # either of them may take it: the zombie has become an honest worker again
    stage.wait_for(after, JobStatus.SUCCEEDED)
