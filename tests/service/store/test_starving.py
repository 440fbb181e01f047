"""Endings for want of memory, in the store."""

from collections.abc import Callable

import pytest

from store import (
    Claim,
    Database,
    Fence,
    Job,
    JobError,
    JobStatus,
    NewJob,
    WriteSession,
    claim_next,
    create_job,
    events_after,
    release_starved,
    request_cancel,
    request_pause,
)

STARVED = JobError("out_of_memory", "It did not fit.")


def run(database: Database, team: str, training: dict[str, int]) -> Fence:
    """A job that runs with these settings."""
    with database.write() as session:
        create_job(session, team, NewJob(method="movement", target_sparsity=0.9, spec={"training": training}))
    with database.write() as session:
        claimed: Claim | None = claim_next(session, "default", "worker-1", lease_s=60.0)
    assert claimed is not None
    return claimed.fence


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
    fence = run(database, team, training)
    with database.write() as session:
        assert release_starved(session, fence, STARVED, final=final) == status
    job = look(fence.job_id)
    found = job.spec["training"]
    assert isinstance(found, dict)
    assert (job.status, job.crashes) == (JobStatus(status), crashes)
    assert (found["batch_size"], found["gradient_accumulation"]) == batch


@pytest.mark.parametrize(("ask", "word"), [(request_cancel, "cancelled"), (request_pause, "paused")])
def test_one_that_was_to_leave_is_told_of_as_leaving(
    database: Database, team: str, *, ask: Callable[[WriteSession, str, str], Job], word: str
) -> None:
    fence = run(database, team, {"batch_size": 32, "gradient_accumulation": 1, "auto_batch": True})
    with database.write() as session:
        ask(session, team, fence.job_id)
    with database.write() as session:
        assert release_starved(session, fence, STARVED, final=True) == word
    with database.read() as session:
        told = events_after(session, team, fence.job_id)[-1]
    # A webhook hears of `job.cancelled`, and nothing of a batch that nobody will train with.
    assert (told.type, told.data["status"]) == (word, word)
