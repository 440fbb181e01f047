"""A watched job as a bar on a terminal and as lines elsewhere."""

import io

import pytest
from rich.console import Console

from secateur.cli.watching import _Bar, _Lines
from secateur.resources import Job, JobStatus


def job(status: JobStatus, step: int = 0, *, phase: str | None = None, attempt: int = 1) -> Job:
    return {
        "id": "job_1",
        "status": status,
        "name": None,
        "tags": {},
        "priority": 0,
        "queue_position": None,
        "spec": {},
        "created_at": "2026-11-23T12:00:00Z",
        "started_at": None,
        "finished_at": None,
        "attempt": attempt,
        "retry_of": None,
        "sweep": None,
        "pinned": False,
        "files_expired_at": None,
        "progress": {
            "step": step,
            "total_steps": 1302 if phase else None,
            "phase": phase,
            "density": 0.413 if phase else None,
            "eta_s": 310.0 if phase else None,
        },
        "result": None,
        "error": None,
        "warnings": [],
        "urls": {},
    }


def test_lines_come_when_something_else_is_done(capsys: pytest.CaptureFixture[str]) -> None:
    with _Lines() as lines:
        lines.show(job("queued"), "")
        lines.show(job("queued"), "")
        lines.show(job("running", 7, phase="dense"), "")
        lines.show(job("running", 8, phase="dense"), "")
        lines.show(job("running", 900, phase="pruning", attempt=2), "train/loss 0.412")
        lines.show(job("succeeded", 1302), "train/loss 0.400")
    assert capsys.readouterr().err.splitlines() == [
        "job_1 · queued",
        "job_1 · running, dense · step 7/1302 · density 41.3% · 5 min 10 s left",
        "job_1 · running, pruning (attempt 2) · step 900/1302 · density 41.3% · train/loss 0.412 · 5 min 10 s left",
        "job_1 · succeeded",
    ]


def test_a_waiting_job_says_where_it_stands(capsys: pytest.CaptureFixture[str]) -> None:
    waiting: Job = {**job("queued"), "queue_position": 3}
    with _Lines() as lines:
        lines.show(waiting, "")
    with _Lines() as lines:
        lines.show({**waiting, "progress": {**waiting["progress"], "eta_s": 310.0}}, "")
    assert capsys.readouterr().err.splitlines() == [
        "job_1 · queued · number 3 in line",
        "job_1 · queued · number 3 in line · done in about 5 min 10 s",
    ]


def test_a_paused_job_says_how_it_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    with _Lines() as lines:
        lines.show(job("paused"), "")
    assert capsys.readouterr().err.splitlines() == ["job_1 · paused · goes on with: secateur resume job_1"]


def test_a_bar_shows_phase_step_density_loss_and_time_left() -> None:
    screen = io.StringIO()
    with _Bar(Console(file=screen, force_terminal=True, width=160, color_system=None)) as bar:
        bar.show(job("queued"), "")
        bar.show(job("running", 900, phase="pruning"), "train/loss 0.412")
    shown = screen.getvalue()
    for text in ("running, pruning", "900/1302", "density 41.3%", "train/loss 0.412", "5 min 10 s left"):
        assert text in shown
