"""Jobs that do not fit into memory: told what would fit, or tried again with half the batch."""

from store import JobStatus
from tests.service.worker.stage import Stage


def test_a_job_that_does_not_fit_fails_with_the_batch_that_would(manned: Stage) -> None:
    job_id = manned.submit(behaviour="starve", steps=4)
    error = manned.wait_for(job_id, JobStatus.FAILED).error
    assert error is not None
    assert error["code"] == "out_of_memory"
    # Of 16, 8, 4 … the stand-in has room for ten; 8 x 4 examples are the 32 of before.
    assert "training.batch_size 8 fits; with gradient_accumulation 4 a step" in str(error["detail"])
    assert manned.outcomes(job_id) == ["failed"], "trying again would only repeat it"
    manned.audit(job_id)


def test_a_batch_of_auto_is_halved_until_it_fits(manned: Stage) -> None:
    job_id = manned.submit(behaviour="starve", steps=4, auto_batch=True, max_attempts=1)
    ended = manned.wait_for(job_id, JobStatus.SUCCEEDED)
    training = ended.spec["training"]
    assert isinstance(training, dict)
    assert (training["batch_size"], training["gradient_accumulation"]) == (8, 4)
    assert [each.type for each in manned.events(job_id)].count("batch_halved") == 2
    assert ended.crashes == 0
    manned.audit(job_id)
