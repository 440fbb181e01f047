"""Retention: what has been kept long enough goes, and nothing else; told by a clock that the test moves."""

from datetime import timedelta

import pytest

from store import (
    Database,
    DatabaseBlobStore,
    FilesExpired,
    Job,
    JobStatus,
    events_after,
    expire_checkpoints,
    get_artifact,
    get_job,
    jobs_past_retry,
    layers_of,
    metrics_of,
    record_progress,
    release_preempted,
    request_cancel,
    request_pause,
    retry_job,
)
from store.blobs import LONGEST_UPLOAD_S
from tests.service.store.ended import (
    DAY_S,
    begin,
    blobs,
    claim_any,
    expire,
    fail,
    names_left,
    past_keeping,
    pin,
    save,
    steps_saved,
    succeed,
)
from tests.service.store.virtual_clock import VirtualClock

LONG = timedelta(days=365)


def look(database: Database, team: str, job_id: str) -> Job:
    """A job as it is now."""
    with database.read() as session:
        return get_job(session, team, job_id)


def past_retry(database: Database, ttl_s: float = DAY_S) -> list[str]:
    """The jobs whose checkpoints are due to go."""
    with database.read() as session:
        return list(jobs_past_retry(session, ttl_s))


def drop_all(database: Database, ttl_s: float = DAY_S) -> None:
    """Drop every checkpoint that is due."""
    for job_id in past_retry(database, ttl_s):
        with database.write() as session:
            assert expire_checkpoints(session, job_id, ttl_s)


def test_checkpoints_of_a_failed_job_go_with_their_files_when_their_time_is_up_and_not_a_millisecond_before(
    clock: VirtualClock, database: Database, team: str
) -> None:
    fence = begin(database, team)
    save(database, fence, 10)
    save(database, fence, 20)
    job_id = fail(database, fence)
    clock.wait_until(clock.now + timedelta(seconds=DAY_S, milliseconds=-1))
    assert past_retry(database) == []
    with database.write() as session:
        assert not expire_checkpoints(session, job_id, DAY_S), "the removal asks again"
    assert steps_saved(database, job_id) == [20, 10]
    clock.wait_until(clock.now + timedelta(milliseconds=1))
    assert past_retry(database) == [job_id]
    drop_all(database)
    assert (steps_saved(database, job_id), blobs(database)) == ([], set())
    assert past_retry(database) == []


def test_checkpoints_of_jobs_that_have_not_ended_never_expire(
    clock: VirtualClock, database: Database, team: str
) -> None:
    fences = {}
    for status in ("queued", "running", "pausing", "paused", "cancelling"):
        fences[status] = begin(database, team)
        save(database, fences[status], 10)
    with database.write() as session:
        for status in ("pausing", "paused"):
            request_pause(session, team, fences[status].job_id)
        request_cancel(session, team, fences["cancelling"].job_id)
        for status in ("queued", "paused"):
            release_preempted(session, fences[status])
    assert {look(database, team, fence.job_id).status: status for status, fence in fences.items()} == {
        JobStatus(status): status for status in fences
    }
    clock.wait_until(clock.now + LONG)
    assert past_retry(database, ttl_s=0) == []
    with database.write() as session:
        assert not any(expire_checkpoints(session, fence.job_id, 0) for fence in fences.values())


@pytest.mark.parametrize("end", ["succeeded", "cancelled"])
def test_other_ended_jobs_have_none_to_expire(clock: VirtualClock, database: Database, team: str, end: str) -> None:
    fence = begin(database, team)
    save(database, fence, 10)
    if end == "succeeded":
        succeed(database, fence)
    else:
        with database.write() as session:
            request_cancel(session, team, fence.job_id)
            release_preempted(session, fence)
    assert look(database, team, fence.job_id).status == end
    assert steps_saved(database, fence.job_id) == []


def test_a_pinned_job_keeps_its_checkpoints_until_it_is_unpinned(
    clock: VirtualClock, database: Database, team: str
) -> None:
    fence = begin(database, team)
    save(database, fence, 10)
    pin(database, team, fence.job_id)
    job_id = fail(database, fence)
    clock.wait_until(clock.now + LONG)
    assert past_retry(database) == []
    with database.write() as session:
        assert not expire_checkpoints(session, job_id, DAY_S)
    pin(database, team, job_id, pinned=False)
    assert past_retry(database) == [job_id]


def test_a_retry_before_goes_on_and_keeps_the_file_that_both_refer_to(
    clock: VirtualClock, database: Database, team: str
) -> None:
    fence = begin(database, team)
    blob = save(database, fence, 10)
    old = fail(database, fence)
    clock.wait_until(clock.now + timedelta(seconds=DAY_S / 2))
    with database.write() as session:
        new = retry_job(session, team, old).id
    clock.wait_until(clock.now + timedelta(seconds=DAY_S))
    assert past_retry(database) == [old], "the new one waits"
    drop_all(database)
    assert (steps_saved(database, old), steps_saved(database, new)) == ([], [10])
    assert b"".join(DatabaseBlobStore(database).read(blob)) == f"{fence} at 10".encode()
    claim = claim_any(database)
    assert claim is not None
    clock.wait_until(clock.now + timedelta(seconds=DAY_S))
    fail(database, claim.fence)
    drop_all(database, ttl_s=0)
    assert blobs(database) == set()


def test_a_retry_after_starts_anew(clock: VirtualClock, database: Database, team: str) -> None:
    fence = begin(database, team)
    save(database, fence, 10)
    old = fail(database, fence)
    clock.wait_until(clock.now + timedelta(seconds=DAY_S))
    drop_all(database)
    with database.write() as session:
        new = retry_job(session, team, old)
    assert (new.status, new.step, steps_saved(database, new.id)) == (JobStatus.QUEUED, 0, [])


def test_files_go_when_their_time_is_up_and_not_a_millisecond_before(
    clock: VirtualClock, database: Database, team: str
) -> None:
    job_id = succeed(database, begin(database, team))
    clock.wait_until(clock.now + timedelta(seconds=DAY_S, milliseconds=-1))
    assert past_keeping(database) == []
    clock.wait_until(clock.now + timedelta(milliseconds=1))
    assert past_keeping(database) == [job_id]


def test_the_files_go_and_everything_else_stays(clock: VirtualClock, database: Database, team: str) -> None:
    fence = begin(database, team)
    with database.write() as session:
        record_progress(session, fence, step=1, metrics=[("train/loss", 1, 0.5)])
    job_id = succeed(database, fence, 0.5, files=["config.json"])
    other = succeed(database, begin(database, team), files=["config.json"])
    before = look(database, team, job_id)
    clock.wait_until(clock.now + timedelta(days=2))
    assert expire(database, job_id)
    after = look(database, team, job_id)
    assert after.files_expired_at == clock.now
    assert after.version == before.version + 1
    assert (after.status, after.result, after.quality, after.finished_at) == (
        before.status,
        before.result,
        0.5,
        before.finished_at,
    )
    with database.read() as session:
        assert events_after(session, team, job_id)[-1].type == "succeeded", "nothing comes after the end"
        assert metrics_of(session, team, job_id)["train/loss"][0].value == 0.5
        assert [layer.kept for layer in layers_of(session, team, job_id)] == [4]
        with pytest.raises(FilesExpired, match=r"removed at 2026-01-03T00:00:00\+00:00 by .* retention"):
            get_artifact(session, team, job_id, "config.json")
        shared = get_artifact(session, team, other, "config.json")
    assert names_left(database, team, job_id) == []
    assert len(blobs(database)) == 2, "of three, its own is gone"
    assert b"".join(DatabaseBlobStore(database).read(shared.blob_id)) == b"config.json"
    assert not expire(database, job_id), "once is enough"
    assert look(database, team, job_id).version == after.version


def test_the_last_job_with_a_file_takes_it_along(clock: VirtualClock, database: Database, team: str) -> None:
    jobs = [succeed(database, begin(database, team), files=["config.json"]) for _ in range(2)]
    clock.wait_until(clock.now + timedelta(days=2))
    assert [expire(database, job_id) for job_id in jobs] == [True, True]
    assert blobs(database) == set()


def test_a_file_that_somebody_uploads_again_meanwhile_is_left_to_the_sweep(
    clock: VirtualClock, database: Database, team: str
) -> None:
    job_id = succeed(database, begin(database, team), files=["config.json"])
    clock.wait_until(clock.now + timedelta(days=2))
    again = DatabaseBlobStore(database).write([b"config.json"])  # for a job that uploads more, and then refers to all
    clock.wait_until(clock.now + timedelta(hours=5))
    assert expire(database, job_id)
    assert blobs(database) == {again.id}
    clock.wait_until(clock.now + timedelta(hours=1, seconds=1))
    assert DatabaseBlobStore(database).sweep(LONGEST_UPLOAD_S) == 1


@pytest.mark.parametrize("unended", [True, False], ids=["running", "failed"])
def test_only_jobs_that_succeeded_have_files_to_expire(
    clock: VirtualClock, database: Database, team: str, unended: bool
) -> None:
    fence = begin(database, team)
    if not unended:
        fail(database, fence)
    clock.wait_until(clock.now + LONG)
    assert past_keeping(database, ttl_s=0) == []
    assert not expire(database, fence.job_id)


def test_a_pin_that_comes_between_the_find_and_the_removal_holds(
    clock: VirtualClock, database: Database, team: str
) -> None:
    job_id = succeed(database, begin(database, team))
    clock.wait_until(clock.now + LONG)
    assert past_keeping(database) == [job_id]
    pin(database, team, job_id)
    assert not expire(database, job_id)
    assert names_left(database, team, job_id) == [job_id]
    assert past_keeping(database) == []
    pin(database, team, job_id, pinned=False)
    assert expire(database, job_id)


def test_a_pin_is_visible_once_and_no_event(clock: VirtualClock, database: Database, team: str) -> None:
    job_id = succeed(database, begin(database, team))
    before = look(database, team, job_id).version
    for pinned, version in ((True, 1), (True, 1), (False, 2), (False, 2)):
        pin(database, team, job_id, pinned)
        job = look(database, team, job_id)
        assert (job.pinned, job.version) == (pinned, before + version)
    with database.read() as session:
        assert events_after(session, team, job_id)[-1].type == "succeeded"
