"""Endings for want of memory, in the store."""

from collections.abc import Callable

import pytest

from store import Claim, Database, Job, JobError, JobStatus, NewJob, claim_next, create_job, release_starved

STARVED = JobError("out_of_memory", "It did not fit.")


@pytest.mark.parametrize(
    ("training", "final", "expected"),
    [
        ({"batch_size": 32, "gradient_accumulation": 1, "auto_batch": True}, True, ("queued", 0, (16, 2))),
        ({"batch_size": 5, "gradient_accumulation": 3, "auto_batch": True}, False, ("queued", 0, (2, 6))),
        ({"batch_size": 1, "gradient_accumulation": 32, "auto_batch": True}, True, ("failed", 0, (1, 32))),
        # Each of several devices needs an example.
        ({"batch_size": 8, "gradient_accumulation": 1, "auto_batch": True, "gpus": 4}, True, ("queued", 0, (4, 2))),
        ({"batch_size": 4, "gradient_accumulation": 2, "auto_batch": True, "gpus": 4}, True, ("failed", 0, (4, 2))),
        ({"batch_size": 32, "gradient_accumulation": 1, "auto_batch": False}, True, ("failed", 0, (32, 1))),
        ({"batch_size": 32, "gradient_accumulation": 1, "auto_batch": False}, False, ("queued", 1, (32, 1))),
    ],
)
def test_what_becomes_of_a_job_that_ran_out_of_memory(
    database: Database,
    team: str,
    look: Callable[[str], Job],
    *,
    training: dict[str, int],
    final: bool,
    expected: tuple[str, int, tuple[int, int]],
) -> None:
    status, crashes, batch = expected
    new = NewJob(method="movement", target_sparsity=0.9, spec={"training": training})
    with database.write() as session:
        job_id = create_job(session, team, new).job.id
    with database.write() as session:
        claimed: Claim | None = claim_next(session, "default", "worker-1", lease_s=60.0)
    assert claimed is not None
    with database.write() as session:
        assert release_starved(session, claimed.fence, STARVED, final=final) == status
    job = look(job_id)
    found = job.spec["training"]
    assert isinstance(found, dict)
    assert (job.status, job.crashes) == (JobStatus(status), crashes)
    assert (found["batch_size"], found["gradient_accumulation"]) == batch
