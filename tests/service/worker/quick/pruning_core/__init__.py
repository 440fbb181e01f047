"""A stand-in for the science: the same calls and no torch, so that tests of the engine take no seconds to import it.

Trainers started with this folder at the head of PYTHONPATH are real in all else: inputs, progress, publication, stops.
"""

import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pruning_core.settings import Training

#: The largest batch that a job which is starved of memory has room for.
_LARGEST_BATCH = 10


#: How many batches are judged between two steps, each in a tenth of a second.
JUDGED_BATCHES = 100

#: How long a commit takes that is slow.
SLOW_COMMIT_S = 6.0
_slowed = False


class ModelError(ValueError):
    """As in the real one."""


class PeerLost(RuntimeError):
    """As in the real one."""

    signal = None


class CheckpointError(ValueError):
    """As in the real one."""


@dataclass(frozen=True)
class Checkpointing:
    file: Path
    due: Callable[[], bool]
    written: Callable[[Path], None]
    failed: Callable[[OSError], None]


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
    model_fields = {"steps": None, "step_s": None, "behaviour": None, "training": None}  # noqa: RUF012 - as pydantic's

    steps: int
    step_s: float
    behaviour: str
    training: Training

    @classmethod
    def model_validate(cls, fields: dict[str, Any]) -> "PruningSpec":
        return cls(**{**fields, "training": Training(**fields["training"])})

    def model_copy(self, update: dict[str, Any]) -> "PruningSpec":
        return replace(self, training=update["training"])


@dataclass(frozen=True)
class Density:
    prunable: float = 0.1


@dataclass(frozen=True)
class Exports:
    made: dict[str, object] = field(default_factory=dict)
    latency: None = None


@dataclass(frozen=True)
class PruningResult:
    report: dict[str, object]
    evaluation: dict[str, float] = field(default_factory=lambda: {"accuracy": 0.5})
    dense_evaluation: None = None
    packed_evaluation: dict[str, float] = field(default_factory=lambda: {"accuracy": 0.5})
    density: Density = field(default_factory=Density)
    layers: list[object] = field(default_factory=list)
    exports: Exports = field(default_factory=Exports)


def step_in(checkpoint: Path) -> int:
    try:
        return int(json.loads(checkpoint.read_text())["step"])
    except ValueError as error:
        raise CheckpointError("It is no checkpoint.") from error


def misbehave(how: str, tick: Callable[[], None]) -> None:
    from pruning_core.tasks.base import DataError

    if how == "raise":
        raise RuntimeError("the matrix fell apart")
    if how == "refuse":
        raise DataError("Row 7 has no label.")
    if how == "leave":
        os._exit(0)
    if how == "stall":
        time.sleep(3600)
    if how == "judge":
        for _batch in range(JUDGED_BATCHES):
            time.sleep(0.1)
            tick()
    if how == "slow_commit":
        slow_down_the_next_commit()
    if how == "flood":
        for _line in range(6_000):
            print("x" * 1000)


def slow_down_the_next_commit() -> None:
    """As on a disk that stalls: the locks are held meanwhile."""
    global _slowed  # noqa: PLW0603 - once in a process
    from sqlalchemy import event

    from store import WriteSession

    if not _slowed:
        _slowed = True
        event.listen(WriteSession, "before_commit", lambda session: time.sleep(SLOW_COMMIT_S), once=True)


def prune(
    model: Path,
    train: object,
    spec: PruningSpec,
    output: Path,
    *,
    teacher: Path | None,
    on_progress: Callable[[Progress], None],
    tick: Callable[[], None],
    checkpointing: Checkpointing | None = None,
    resume_from: Path | None = None,
    lineage_extra: dict[str, object],
    **_: object,
) -> PruningResult:
    assert teacher is None or (teacher / "config.json").is_file()
    if spec.behaviour == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    done = 0 if resume_from is None else step_in(resume_from)
    # A first attempt may be as long as a test likes, so that it is surely interrupted; the next ones are short.
    steps = spec.steps
    if lineage_extra["attempt"] != 1 and spec.behaviour != "steady":
        steps = min(spec.steps, done + 5)
    if spec.behaviour == "starve" and spec.training.batch_size > _LARGEST_BATCH:
        raise MemoryError
    for step in range(done + 1, steps + 1):
        time.sleep(spec.step_s)
        on_progress(Progress("pruning", step, steps, step, 1 - step / steps, {"train/loss": 1 / step}))
        if checkpointing and checkpointing.due():
            # Some noise, as in real ones, so that no two are the same file.
            checkpointing.file.write_text(json.dumps({"step": step, "noise": os.urandom(8).hex()}))
            checkpointing.written(checkpointing.file)
        if step < steps // 2:
            continue
        misbehave(spec.behaviour, tick)
    output.mkdir()
    report: dict[str, object] = {
        "primary_metric": "accuracy",
        "notes": [],
        "bytes": {"dense": 1, "masks": 1, "packed": 1},
        "lineage": lineage_extra,
        "begun_at": done,
    }
    (output / "report.json").write_text(json.dumps(report))
    return PruningResult(report)
