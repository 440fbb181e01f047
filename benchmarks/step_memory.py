"""The peak memory of a training step, one way at a time, each in a process of its own.

Two figures, found independently. *Peak* is what the operating system saw: the process's largest resident set, over
that of the dense way. glibc is told to give freed memory back at once (see `ENVIRONMENT`), or else the peak would count
what the allocator hoards. *Held* is counted: the bytes of every tensor that outlives a step, per prunable weight.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.step_ways import UNTIMED, Ours, Setting, positions
from pruning_core.methods import METHODS
from pruning_core.prunable import prunable_matrices
from pruning_core.training import FineTuning

ENVIRONMENT = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
#: Bytes per prunable weight: the weight, its gradient, Adam's two moments; and a score with its two moments.
DENSE, SCORES = 16, 12
_ROUNDS = 10


@dataclass(frozen=True)
class Memory:
    """What one way needs.

    Attributes:
        peak: bytes of the largest resident set.
        held: bytes of the prunable weights' tensors that outlive a step.
        weights: number of prunable weights.
    """

    peak: int
    held: int
    weights: int


def measure(name: str, directory: Path, tokenizer: Path) -> Memory:
    """Run one way in a fresh process."""
    command = [sys.executable, "-m", "benchmarks.step_memory", name, str(directory), str(tokenizer)]
    root = Path(__file__).resolve().parents[1]
    done = subprocess.run(
        command, cwd=root, env={**os.environ, **ENVIRONMENT}, stdout=subprocess.PIPE, text=True, check=True
    )
    return Memory(**json.loads(done.stdout.splitlines()[-1]))


def describe(found: dict[str, Memory]) -> dict[str, dict[str, float]]:
    """The figures per prunable weight, and what the claim allows: dense, scores, and the scores' optimizer state."""
    dense = found["dense"]
    return {
        name: {
            "peak_mb": round(memory.peak / 1e6),
            "peak_over_dense_per_weight": round((memory.peak - dense.peak) / memory.weights, 1),
            "allowed_over_dense_per_weight": _allowed(name) - DENSE,
            "held_per_weight": round(memory.held / memory.weights, 2),
            "allowed_per_weight": _allowed(name),
        }
        for name, memory in found.items()
    }


def _allowed(name: str) -> int:
    return DENSE + (SCORES if name in METHODS and METHODS[name].learns_scores else 0)


def held_bytes(phase: FineTuning) -> int:
    """Bytes of all that a phase keeps for its prunable weights from one step to the next; shared memory once."""
    matrices = [matrix.parameter for matrix in prunable_matrices(phase.model)]
    tensors: list[Tensor | None] = [*matrices, *(parameter.grad for parameter in matrices)]
    trained = list(matrices)
    if phase.pruner:
        weights = phase.pruner.weights
        trained += [*weights.trained, *weights.trained_scores]
        tensors += [*trained, *(parameter.grad for parameter in trained), weights.weight, weights.score, weights.mask]
        tensors += weights.buffers.values()
    for parameter in trained:
        tensors += phase.optimizer.state.get(parameter, {}).values()
    storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors if t is not None}
    # On a CPU a step frees its gradients before it ends; they are there when the optimizer is.
    freed = sum(4 * parameter.numel() for parameter in matrices if parameter.grad is None)
    return sum(storages.values()) + freed


def peak_resident() -> int:
    """Bytes of this program's largest resident set."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage counts what this process was before it became this program: a copy of its parent
        [peak] = [line.split()[1] for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
        return int(peak) * 1024
    unit = 1 if sys.platform == "darwin" else 1024  # getrusage(2): bytes on macOS, else kilobytes
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def main() -> None:
    """Take steps at both positions, then print what this process has needed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    parser.add_argument("directory", type=Path)
    parser.add_argument("tokenizer", type=Path)
    options = parser.parse_args()
    setting = Setting.of(options.directory, options.tokenizer, _ROUNDS)
    way = Ours(setting, None if options.name == "dense" else options.name)
    for position in positions(way.schedule, _ROUNDS).values():
        way.go_to(position)
        for _ in range(UNTIMED + 1):
            way.step()
    peak = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else peak_resident()
    weights = sum(matrix.parameter.numel() for matrix in prunable_matrices(way.phase.model))
    print(json.dumps({"peak": peak, "held": held_bytes(way.phase), "weights": weights}))


if __name__ == "__main__":
    main()
