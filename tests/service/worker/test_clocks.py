"""Hosts disagree about the time: leases go by the database's clock, and so must everything that a job waits for."""

import os
import struct
from pathlib import Path

import pytest

from store import JobStatus
from tests.chaos.stage import CLOCK
from tests.service.worker.stage import QUICK, Stage


@pytest.mark.parametrize("ahead_s", [3600.0, 90 * 86_400.0, -3600.0])
def test_a_worker_whose_clock_is_wrong_does_its_work(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ahead_s: float
) -> None:
    clock = tmp_path / "clock"
    clock.write_bytes(struct.pack("d", ahead_s))
    monkeypatch.setenv("CHAOS_CLOCK", str(clock))
    stage.worker(science=Path(f"{CLOCK}{os.pathsep}{QUICK}"))
    stage.reconciler()
    job_id = stage.submit(steps=3, ring=False)
    stage.wait_for(job_id, JobStatus.SUCCEEDED, patience_s=30)
    assert stage.outcomes(job_id) == ["succeeded"]
