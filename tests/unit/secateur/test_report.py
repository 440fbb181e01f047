"""A job as a table for people: what was made of the model besides, and how fast it is."""

import pytest

from secateur.cli.output import results
from secateur.cli.report import print_job
from secateur.resources import Job

JOB: Job = {
    "id": "job_1",
    "status": "succeeded",
    "name": None,
    "tags": {},
    "priority": 0,
    "queue_position": None,
    "spec": {"method": "movement"},
    "created_at": "2026-01-01T00:00:00Z",
    "started_at": "2026-01-01T00:00:00Z",
    "finished_at": "2026-01-01T00:10:00Z",
    "attempt": 1,
    "retry_of": None,
    "sweep": None,
    "pinned": False,
    "files_expired_at": None,
    "progress": {"step": 9, "total_steps": 9, "phase": None, "density": None, "eta_s": None},
    "error": None,
    "urls": {},
    "warnings": [],
    "result": {
        "primary_metric": "accuracy",
        "eval": {"accuracy": 0.85},
        "exports": {
            "structured": {
                "eval": {"accuracy": 0.85, "loss": 0.4},
                "heads": 20,
                "heads_dense": 72,
                "neurons": 2000,
                "neurons_dense": 9216,
                "parameters": 1,
                "parameters_dense": 2,
            },
            "int8": {"eval": {"accuracy": 0.8421}},
        },
        "export_latency": {
            "threads": 2,
            "sequence": 128,
            "timings": [
                {"runtime": "pytorch", "model": "dense", "batch": 1, "median_ms": 20.04, "speedup": 1.0},
                {"runtime": "pytorch", "model": "structured", "batch": 1, "median_ms": 8.0, "speedup": 2.5},
            ],
        },
    },
}


def shown_of(job: Job, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The lines, their columns a blank apart."""
    monkeypatch.setattr(results, "width", 200)
    with results.capture() as shown:
        print_job(job)
    return [" ".join(line.split()) for line in shown.get().splitlines()]


def test_what_was_made_besides_is_told_with_its_quality_and_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = shown_of(JOB, monkeypatch)
    assert "structured accuracy 0.8500, 20 of 72 heads, 2000 of 9216 neurons" in lines
    assert "int8 accuracy 0.8421" in lines
    assert "pytorch, dense 20.0 ms for 1 × 128 tokens" in lines
    assert "pytorch, structured 8.0 ms for 1 × 128 tokens, 2.50 × as fast as dense" in lines


def test_a_waiting_job_tells_its_place_and_what_was_said_at_submit(monkeypatch: pytest.MonkeyPatch) -> None:
    waiting: Job = {**JOB, "status": "queued", "queue_position": 3, "priority": 5, "retry_of": "job_0", "result": None}
    waiting["progress"] = {"step": 0, "total_steps": 9, "phase": None, "density": None, "eta_s": 310.0}
    lines = shown_of({**waiting, "warnings": ["It [may] wait long."]}, monkeypatch)
    for line in (
        "place number 3 in line, done in about 5 min 10 s",
        "tries again job_0",
        "priority 5",
        "progress step 0 of 9",
        "It [may] wait long.",
    ):
        assert line in lines


def test_a_running_job_tells_what_it_does(monkeypatch: pytest.MonkeyPatch) -> None:
    running: Job = {**JOB, "status": "running", "result": None}
    running["progress"] = {"step": 4, "total_steps": 9, "phase": "pruning", "density": 0.413, "eta_s": 310.0}
    assert "progress pruning, step 4 of 9, 5 min 10 s left, density 41.3%" in shown_of(running, monkeypatch)
    running["progress"] = {"step": 0, "total_steps": 9, "phase": None, "density": None, "eta_s": None}
    assert "progress step 0 of 9" in shown_of(running, monkeypatch)
