"""The bench of structured pruning: its runs are sound specs, and the slowest measurement meets the bar or does not."""

from typing import Any

import pytest

from benchmarks.structured import DENSE, POINTS, SPEC, point
from pruning_core import PruningSpec

MADE = {"heads": 18, "neurons": 2304}


def timed(slowest: float) -> dict[str, Any]:
    """What would be measured."""
    speedups = {("pytorch", 1): 3.0, ("pytorch", 32): slowest, ("onnxruntime", 1): 2.9, ("onnxruntime", 32): 3.1}
    timings = [
        {"runtime": runtime, "model": model, "batch": batch, "speedup": 1.0 if model == "dense" else value}
        for (runtime, batch), value in speedups.items()
        for model in ("dense", "structured")
    ]
    timings.append({"runtime": "onnxruntime", "model": "int8", "batch": 1, "speedup": 0.5})
    return {"timings": timings}


def report(accuracy: float) -> dict[str, Any]:
    """What a run would say of itself."""
    return {
        "exports": {
            "structured": {"eval": {"accuracy": accuracy}, **MADE},
            "onnx": {"eval": {"accuracy": accuracy}},
            "int8": {"eval": {"accuracy": 0.1}},
        },
        "bytes": {"dense": 4, "structured": 3, "onnx": 2, "int8": 1, "packed": 1},
    }


@pytest.mark.parametrize("sparsity", POINTS)
def test_its_runs_are_specs(sparsity: float) -> None:
    assert PruningSpec.model_validate(SPEC | {"target_sparsity": sparsity}).export.structured
    assert PruningSpec.model_validate(DENSE).training.dense_baseline


@pytest.mark.parametrize(
    ("slowest", "accuracy", "met"),
    [(2.5, 0.83, [True, True]), (2.4, 0.83, [False, True]), (2.6, 0.80, [True, False])],
)
def test_the_slowest_measurement_and_the_smaller_model_are_judged(
    slowest: float, accuracy: float, met: list[bool]
) -> None:
    found = point(report(accuracy), timed(slowest), 0.85, (2.5, 4.0))
    assert found["speedup"] == slowest
    assert found["points_lost"] == pytest.approx(100 * (0.85 - accuracy))
    assert list(found["met"].values()) == met
    assert found["heads"] == MADE["heads"]
