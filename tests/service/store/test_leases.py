"""Leases: renewed by whoever lives, answered with what to do, given to another once they run out."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import make_url, text

from store import (
    DATABASE_AWAY,
    Claim,
    Database,
    ExpiredAttempt,
    Fence,
    FenceLost,
    Job,
    JobError,
    JobStatus,
    LeaseAnswer,
    claim_next,
    events_after,
    finish_failed,
    open_database,
    peek,
    record_progress,
    renew,
    request_cancel,
    requeue_expired,
)
from store.tables import Attempt
from tests.service.store.garden import make_team, submit_for


def answers(database: Database, fence: Fence) -> tuple[LeaseAnswer, LeaseAnswer]:
    """What a renewal and a mere look are answered."""
    with database.write() as session:
        renewed = renew(session, fence, 60.0)
    with database.read() as session:
        return renewed, peek(session, fence)


def recover(database: Database) -> list[ExpiredAttempt]:
    """One round of a reconciler."""
    with database.write() as session:
        return requeue_expired(session)


def test_a_live_attempt_goes_on(database: Database, running: Fence) -> None:
    assert answers(database, running) == (LeaseAnswer.KEEP, LeaseAnswer.KEEP)


def test_a_renewal_counts_from_the_databases_now(database: Database, running: Fence) -> None:
    with database.write() as session:
        renew(session, running, 500.0)
    with database.read() as session:
        attempt = session.get_one(Attempt, (running.job_id, running.attempt))
    assert 499 < (attempt.lease_expires_at - attempt.started_at).total_seconds() < 510


def test_a_cancel_request_is_answered(database: Database, team: str, running: Fence) -> None:
    with database.write() as session:
        request_cancel(session, team, running.job_id)
    assert answers(database, running) == (LeaseAnswer.CANCEL, LeaseAnswer.CANCEL)


def test_used_up_time_is_answered(
    database: Database, submit: Callable[..., str], claim: Callable[[], Claim | None]
) -> None:
    submit(max_runtime_s=0.05)
    claimed = claim()
    assert claimed is not None
    time.sleep(0.1)
    assert answers(database, claimed.fence) == (LeaseAnswer.TIMED_OUT, LeaseAnswer.TIMED_OUT)


def test_a_stranger_is_told_that_it_lost(database: Database, running: Fence) -> None:
    assert answers(database, Fence(running.job_id, 7)) == (LeaseAnswer.LOST, LeaseAnswer.LOST)


def test_an_attempt_that_wrote_its_end_is_told_so(database: Database, running: Fence) -> None:
    """Its trainer may leave in peace: it is no zombie."""
    with database.write() as session:
        finish_failed(session, running, JobError("data_error", "Row 7 has no label."))
    assert answers(database, running) == (LeaseAnswer.ENDED, LeaseAnswer.ENDED)


@pytest.mark.usefixtures("running")
def test_a_held_lease_is_left_alone(database: Database) -> None:
    assert recover(database) == []


def test_a_lapsed_lease_is_requeued_once(
    database: Database, team: str, running: Fence, lapse: Callable[[Fence], None], look: Callable[[str], Job]
) -> None:
    lapse(running)
    assert recover(database) == [ExpiredAttempt(running, "worker-1", "default", JobStatus.QUEUED)]
    assert recover(database) == []
    job = look(running.job_id)
    assert (job.status, job.attempt, job.crashes) == (JobStatus.QUEUED, 1, 1)
    assert job.not_before is None, "the lease was wait enough"
    assert answers(database, running) == (LeaseAnswer.LOST, LeaseAnswer.LOST)
    with database.read() as session:
        assert events_after(session, team, running.job_id)[-1].data["code"] == "lease_expired"


def test_a_short_lease_really_runs_out(database: Database, submit: Callable[..., str]) -> None:
    submit()
    with database.write() as session:
        claimed = claim_next(session, "default", "worker-1", lease_s=2.0)
    assert recover(database) == []
    time.sleep(2.1)
    assert [each.fence for each in recover(database)] == [claimed and claimed.fence]


def test_a_late_renewal_is_good_while_nobody_took_the_job(
    database: Database, running: Fence, lapse: Callable[[Fence], None]
) -> None:
    lapse(running)
    assert answers(database, running)[0] is LeaseAnswer.KEEP
    assert recover(database) == []


def test_a_lapsed_cancelling_job_is_cancelled(
    database: Database, team: str, running: Fence, lapse: Callable[[Fence], None], look: Callable[[str], Job]
) -> None:
    with database.write() as session:
        request_cancel(session, team, running.job_id)
    lapse(running)
    assert [each.status for each in recover(database)] == [JobStatus.CANCELLED]
    assert look(running.job_id).finished_at is not None


def test_the_last_attempt_to_be_lost_fails_the_job(
    database: Database,
    submit: Callable[..., str],
    claim: Callable[[], Claim | None],
    lapse: Callable[[Fence], None],
    look: Callable[[str], Job],
) -> None:
    job_id = submit(max_attempts=1)
    claimed = claim()
    assert claimed is not None
    lapse(claimed.fence)
    assert [each.status for each in recover(database)] == [JobStatus.FAILED]
    error = look(job_id).error
    assert error is not None
    assert error["code"] == "attempts_exhausted"
    assert "1 of 1 attempts crashed" in str(error["detail"])


@pytest.mark.parametrize("database_url", [pytest.param("postgres", marks=pytest.mark.postgres)], indirect=True)
def test_a_reconciler_passes_by_a_job_that_its_owner_is_writing(
    database: Database, running: Fence, lapse: Callable[[Fence], None]
) -> None:
    lapse(running)
    with database.write() as owner:
        record_progress(owner, running, step=1)
        assert recover(database) == []
    assert [each.fence for each in recover(database)] == [running]


@pytest.mark.parametrize("database_url", [pytest.param("postgres", marks=pytest.mark.postgres)], indirect=True)
def test_an_owner_that_writes_while_its_job_is_taken_waits_and_learns_that_it_lost(
    database: Database, running: Fence, lapse: Callable[[Fence], None]
) -> None:
    def write() -> None:
        with database.write() as owner:
            record_progress(owner, running, step=1)

    def keep() -> LeaseAnswer:
        with database.write() as owner:
            return renew(owner, running, 60.0)

    lapse(running)
    with ThreadPoolExecutor(2) as pool:
        with database.write() as reconciler:
            requeue_expired(reconciler)
            written, kept = pool.submit(write), pool.submit(keep)
            time.sleep(0.3)
            assert not written.done()
            assert not kept.done()
        assert kept.result() is LeaseAnswer.LOST
        with pytest.raises(FenceLost):
            written.result()


@pytest.mark.postgres
def test_a_host_that_freezes_within_a_write_keeps_its_job_no_longer_than_its_lease(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row's lock would outlive the lease: neither a reconciler nor a cancel would get past it."""
    monkeypatch.setattr("store.engine.LONGEST_SILENCE_MS", 500)
    monkeypatch.setattr("store.engine.LONGEST_LOCK_WAIT_MS", 200)
    database = open_database(postgres_url)
    team = make_team(database, "team")
    submit_for(database, team)
    with database.write() as session:
        claimed = claim_next(session, "default", "frozen", 0.1)
    assert claimed is not None
    job_id = claimed.fence.job_id

    def cancel() -> None:
        with database.write() as session:
            request_cancel(session, team, job_id)

    def write_and_freeze() -> None:
        with database.write() as session:
            record_progress(session, claimed.fence, step=1, density=0.5, phase="pruning", metrics=[])
            with pytest.raises(DATABASE_AWAY):  # sooner than for ever
                cancel()
            time.sleep(1.0)
            assert [each.fence for each in recover(database)] == [claimed.fence]
            cancel()

    with pytest.raises(DATABASE_AWAY):
        write_and_freeze()
    database.close()


@pytest.mark.postgres
def test_options_of_the_url_have_the_last_word(postgres_url: str) -> None:
    url = make_url(postgres_url).update_query_dict({"options": "-c lock_timeout=7s"})
    database = open_database(url.render_as_string(hide_password=False))
    with database.read() as session:
        assert session.execute(text("SHOW lock_timeout")).scalar_one() == "7s"
        assert session.execute(text("SHOW idle_in_transaction_session_timeout")).scalar_one() == "10s"
    database.close()
