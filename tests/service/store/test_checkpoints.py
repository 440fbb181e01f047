"""Checkpoints: two are kept, they are fenced, they forgive crashes, and go when the job needs them no more."""

from collections.abc import Callable

import pytest
from sqlalchemy import select, update

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
    NotFound,
    checkpoints_of,
    discard_checkpoint,
    events_after,
    finish_failed,
    finish_succeeded,
    publish_checkpoint,
    release_crashed,
    requeue_expired,
    retry_job,
)
from store.clock import db_now
from store.tables import Blob

CRASH = JobError("trainer_crashed", "It fell over.")

Save = Callable[[Fence, int], BlobRef]


@pytest.fixture
def save(database: Database) -> Save:
    """Uploads and publishes a checkpoint of a step; its file is an old one, no upload of this minute."""

    def save(fence: Fence, step: int) -> BlobRef:
        blob = DatabaseBlobStore(database).write([f"state after {step} steps of {fence}".encode()])
        with database.write() as session:
            session.execute(update(Blob).values(touched_at=db_now(-120)))
        with database.write() as session:
            publish_checkpoint(session, fence, step, blob)
        return blob

    return save


def saved(database: Database, job_id: str) -> list[tuple[int, int, int]]:
    """Number, attempt and step of each, the newest first."""
    with database.read() as session:
        return [(each.number, each.attempt, each.step) for each in checkpoints_of(session, job_id)]


def files(database: Database) -> set[str]:
    """The ids of all files there are."""
    with database.read() as session:
        return set(session.scalars(select(Blob.id)))


def test_the_two_newest_are_kept_and_older_files_go_at_once(
    database: Database, team: str, running: Fence, save: Save
) -> None:
    blobs = [save(running, step) for step in (10, 20, 30)]
    assert saved(database, running.job_id) == [(3, 1, 30), (2, 1, 20)]
    assert files(database) == {blobs[1].id, blobs[2].id}
    with database.read() as session:
        told = [event.data for event in events_after(session, team, running.job_id) if event.type == "checkpoint"]
    assert [(each["number"], each["step"]) for each in told] == [(1, 10), (2, 20), (3, 30)]


def test_an_attempt_that_lost_its_job_publishes_nothing(
    database: Database, running: Fence, lapse: Callable[[Fence], None], save: Save
) -> None:
    save(running, 10)
    lapse(running)
    with database.write() as session:
        requeue_expired(session)
    with pytest.raises(FenceLost):
        save(running, 20)
    with pytest.raises(FenceLost), database.write() as session:
        discard_checkpoint(session, running, 1, "of no use")
    assert saved(database, running.job_id) == [(1, 1, 10)]


def test_progress_forgives_crashes_and_standing_still_does_not(
    database: Database,
    running: Fence,
    claim: Callable[[], Claim | None],
    look: Callable[[str], Job],
    save: Save,
) -> None:
    def crash_and_go_on(fence: Fence) -> Fence:
        with database.write() as session:
            release_crashed(session, fence, CRASH)
        with database.write() as session:
            session.execute(update(Job).values(not_before=None))
        claimed = claim()
        assert claimed is not None
        return claimed.fence

    second = crash_and_go_on(running)
    assert look(running.job_id).crashes == 1
    save(second, 10)
    assert look(running.job_id).crashes == 0, "the job gets on"
    third = crash_and_go_on(second)
    save(third, 10)
    assert look(running.job_id).crashes == 1, "the same step again is no progress"
    save(third, 11)
    assert look(running.job_id).crashes == 0
    fourth = crash_and_go_on(third)
    with database.write() as session:
        for each in checkpoints_of(session, running.job_id):
            discard_checkpoint(session, fourth, each.number, "made by another version")
    save(fourth, 11)
    assert look(running.job_id).crashes == 1, "it was there before, whatever became of what it saved"
    save(fourth, 12)
    assert look(running.job_id).crashes == 0


def test_a_damaged_one_is_discarded_with_its_reason(database: Database, team: str, running: Fence, save: Save) -> None:
    save(running, 10)
    save(running, 20)
    with database.write() as session:
        discard_checkpoint(session, running, 2, "its sha256 is another one")
    assert saved(database, running.job_id) == [(1, 1, 10)]
    save(running, 15)
    assert saved(database, running.job_id) == [(2, 1, 15), (1, 1, 10)]
    with database.read() as session:
        [told] = [e.data for e in events_after(session, team, running.job_id) if e.type == "checkpoint_discarded"]
    assert told == {"number": 2, "reason": "its sha256 is another one"}


def test_a_finished_job_keeps_none(database: Database, running: Fence, save: Save) -> None:
    save(running, 10)
    with database.write() as session:
        assert finish_succeeded(session, running, {}, [], []) is JobStatus.SUCCEEDED
    assert saved(database, running.job_id) == []
    assert files(database) == set()


def test_a_retry_is_a_job_of_its_own_that_goes_on_from_what_the_failed_one_saved(
    database: Database, running: Fence, claim: Callable[[], Claim | None], look: Callable[[str], Job], save: Save
) -> None:
    team = look(running.job_id).team_id
    blob = save(running, 10)
    with database.write() as session:
        finish_failed(session, running, CRASH)
    with database.write() as session:
        again = retry_job(session, team, running.job_id).id
    old, new = look(running.job_id), look(again)
    assert old.status is JobStatus.FAILED, "it stays as it ended"
    assert (new.status, new.retry_of, new.attempt, new.crashes) == (JobStatus.QUEUED, old.id, 0, 0)
    assert (new.spec, new.method, new.max_attempts) == (old.spec, old.method, old.max_attempts)
    assert (old.steps_taken_over, new.steps_taken_over) == (0, 10)
    claimed = claim()
    assert claimed is not None
    assert claimed.fence == Fence(again, 1)
    save(claimed.fence, 20)
    assert saved(database, again) == [(2, 1, 20), (1, 0, 10)]
    save(claimed.fence, 30)
    assert blob.id in files(database), "the failed job still refers to it"
    with pytest.raises(NotFound), database.write() as session:
        retry_job(session, "another team", again)
