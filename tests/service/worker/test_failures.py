"""Jobs that cannot succeed: each ends failed, and says why."""

from store import JobStatus
from tests.service.worker.running import until
from tests.service.worker.stage import Stage


def test_after_the_last_attempt_the_job_fails_with_the_error_and_the_log(manned: Stage) -> None:
    job_id = manned.submit(behaviour="raise", max_attempts=1)
    error = manned.wait_for(job_id, JobStatus.FAILED).error
    assert error is not None
    assert error["code"] == "attempts_exhausted"
    assert str(error["detail"]).endswith("Its last words: RuntimeError: the matrix fell apart")
    assert "Traceback" in str(error["log_tail"])
    manned.audit(job_id)


def test_an_error_that_would_repeat_itself_ends_the_job_at_once(manned: Stage) -> None:
    job_id = manned.submit(behaviour="refuse")
    error = manned.wait_for(job_id, JobStatus.FAILED).error
    assert error is not None
    assert (error["code"], error["detail"]) == ("data_error", "Row 7 has no label.")
    assert manned.outcomes(job_id) == ["failed"]
    manned.audit(job_id)


def test_a_trainer_that_leaves_without_a_word_is_a_crash(manned: Stage) -> None:
    job_id = manned.submit(behaviour="leave", max_attempts=1)
    error = manned.wait_for(job_id, JobStatus.FAILED, patience_s=30).error
    assert error is not None
    assert "without a result" in str(error["detail"])


def test_a_flood_of_output_does_not_fill_the_disk(manned: Stage) -> None:
    job_id = manned.submit(behaviour="flood", steps=20, step_s=0.2)
    largest = 0

    def has_ended() -> bool:
        nonlocal largest
        for log in manned.scratch.glob("*/trainer.log"):
            largest = max(largest, log.stat().st_size)
        return manned.job(job_id).status is JobStatus.SUCCEEDED

    until(has_ended, told=lambda: manned.told(job_id))
    assert 0 < largest < 30 * 2**20, "sixty megabytes were printed"


def test_a_damaged_input_is_told_and_not_tried_again(manned: Stage) -> None:
    job_id = manned.submit(damaged=True)
    error = manned.wait_for(job_id, JobStatus.FAILED).error
    assert error is not None
    assert error["code"] == "input_damaged"
    assert "upload the file again" in str(error["detail"])


def test_a_worker_does_not_wear_out(manned: Stage) -> None:
    def run(behaviour: str) -> None:
        job_id = manned.submit(behaviour=behaviour, steps=2)
        until(lambda: manned.job(job_id).finished_at is not None, told=lambda: manned.told(job_id))
        until(lambda: not list(manned.scratch.iterdir()))

    def open_files() -> int:
        return sum(each.num_fds() for each in manned.workers())

    run("work")
    run("refuse")
    before = open_files()
    for behaviour in ("work", "refuse", "work", "refuse"):
        run(behaviour)
    # A job's last connections close a moment after its end is written: wait for them, but not for a leak.
    until(lambda: open_files() <= before, told=lambda: f"{before} files before four jobs, {open_files()} after")
