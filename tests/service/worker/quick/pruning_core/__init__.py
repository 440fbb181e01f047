"""A stand-in for the science: the same calls and no torch, so that tests of the engine take no seconds to import it.

Trainers started with this folder at the head of PYTHONPATH are real in all else: inputs, progress, publication, stops.
"""

import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


class ModelError(ValueError):
    """As in the real one."""


@dataclass(frozen=True)
class Progress:
    phase: str
    step: int
    total_steps: int
    phase_step: int
    density: float
    metrics: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class PruningSpec:
    model_fields = {"steps": None, "step_s": None, "behaviour": None}  # noqa: RUF012 - as pydantic names it

    steps: int
    step_s: float
    behaviour: str

    @classmethod
    def model_validate(cls, fields: dict[str, Any]) -> "PruningSpec":
        return cls(**fields)


@dataclass(frozen=True)
class Density:
    prunable: float = 0.1


@dataclass(frozen=True)
class PruningResult:
    report: dict[str, object]
    evaluation: dict[str, float] = field(default_factory=lambda: {"accuracy": 0.5})
    dense_evaluation: None = None
    density: Density = field(default_factory=Density)
    layers: list[object] = field(default_factory=list)


def prune(
    model: Path,
    train: object,
    spec: PruningSpec,
    output: Path,
    *,
    teacher: Path | None,
    on_progress: Callable[[Progress], None],
    lineage_extra: dict[str, object],
    **_: object,
) -> PruningResult:
    from pruning_core.tasks.base import DataError

    assert teacher is None or (teacher / "config.json").is_file()
    if spec.behaviour == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    # A first attempt may be as long as a test likes, so that it is surely interrupted; the next ones are short.
    steps = min(spec.steps, 5) if lineage_extra["attempt"] != 1 and spec.behaviour != "steady" else spec.steps
    for step in range(1, steps + 1):
        time.sleep(spec.step_s)
        on_progress(Progress("pruning", step, steps, step, 1 - step / steps, {"train/loss": 1 / step}))
        if step < steps // 2:
            continue
        if spec.behaviour == "raise":
            raise RuntimeError("the matrix fell apart")
        if spec.behaviour == "refuse":
            raise DataError("Row 7 has no label.")
        if spec.behaviour == "leave":
            os._exit(0)
        if spec.behaviour == "flood":
            for _line in range(6_000):
                print("x" * 1000)
    output.mkdir()
    report: dict[str, object] = {"bytes": {"dense": 1, "masks": 1}, "lineage": lineage_extra}
    (output / "report.json").write_text(json.dumps(report))
    return PruningResult(report)
