"""How an attempt that went well ends: its trainer leaves in peace, and its log is there to read."""

import re

from sqlalchemy import select

from store import JobStatus
from store.tables import AttemptLog
from tests.service.worker.running import until
from tests.service.worker.stage import Stage


def test_a_trainer_that_has_published_is_not_killed_and_its_log_is_kept(stage: Stage) -> None:
    worker = stage.worker(checkpoint_steps=5, poll_s=0.05)
    job_id = stage.submit(steps=12)
    stage.wait_for(job_id, JobStatus.SUCCEEDED)
    until(lambda: "attempt_ended" in worker.log(), told=worker.log)
    [ended] = [line for line in worker.log().splitlines() if "attempt_ended" in line]
    assert re.search(r"exit_code=0\b", ended), ended
    with stage.database.read() as session:
        [text] = session.scalars(select(AttemptLog.text).where(AttemptLog.job_id == job_id))
    lines = [line.split(" ", 2)[2] for line in text.splitlines()]  # without date and time
    assert lines[0] == f"Attempt 1 at {job_id}."
    assert lines[1].startswith("Step 1 of 12, density 0.917, train/loss 1")
    assert "The checkpoint at step 5 is safe." in lines
    assert lines[-2:] == ["Done: accuracy 0.5", "The files are published."]
