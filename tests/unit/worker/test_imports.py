"""Around the trainer there is no torch: CUDA does not survive a fork, and a supervisor must stay small."""

import subprocess
import sys

import pytest

HEAVY = ("torch", "transformers", "torchmetrics")


@pytest.mark.parametrize("module", ["worker.app", "worker.supervisor", "worker.reconciler", "worker.trainer"])
def test_only_a_trainer_at_work_imports_torch(module: str) -> None:
    code = f"import {module}, sys; print(*(set({HEAVY}) & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60)
    assert loaded.stdout.split() == []
