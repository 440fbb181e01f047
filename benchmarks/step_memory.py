"""The peak memory of a training step, one way at a time, each in a process of its own.

Two figures, found independently. *Peak* is what the operating system saw: the process's largest resident set, over
that of the dense way. glibc is told to give freed memory back at once (see `ENVIRONMENT`), or else the peak would count
what the allocator hoards. What pruning compiles is compiled first, in the dense way, too: it is the same for models of
any size, and told apart. *Held* is counted: the bytes of every tensor that outlives a step, per prunable weight. In
bf16 that has W ⊙ M, 2 bytes, which autocast makes anew in each dense step; gradients are in the peak only.
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
from transformers import BertConfig, BertForSequenceClassification

from benchmarks.step_ways import BATCH, UNTIMED, Ours, Setting, positions
from pruning_core.methods import METHODS
from pruning_core.prunable import prunable_matrices
from pruning_core.pruner import Pruner
from pruning_core.training import FineTuning

ENVIRONMENT = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
#: Bytes per prunable weight: the weight and Adam's two moments; and as much for a score.
DENSE, SCORES = 12, 12
_ROUNDS = 10
#: What these compile is there before anything is measured.
_COMPILED = ("magnitude", "movement")


@dataclass(frozen=True)
class Memory:
    """What one way needs.

    Attributes:
        peak: bytes of the largest resident set.
        held: bytes of the prunable weights' tensors that outlive a step.
        weights: number of prunable weights.
        compiled: bytes that compiling took, with the compiler.
    """

    peak: int
    held: int
    weights: int
    compiled: int


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
            "compiled_mb": round(memory.compiled / 1e6),
        }
        for name, memory in found.items()
    }


def _allowed(name: str) -> int:
    return DENSE + (SCORES if name in METHODS and METHODS[name].learns_scores else 0)


def held_bytes(phase: FineTuning) -> int:
    """Bytes of all that a phase keeps for its prunable weights from one step to the next; shared memory once."""
    matrices = [matrix.parameter for matrix in prunable_matrices(phase.model)]
    tensors: list[Tensor] = list(matrices)
    trained = list(matrices)
    if phase.pruner:
        weights = phase.pruner.weights
        trained += [*weights.trained, *weights.trained_scores]
        tensors += [weights.weight, weights.score]
        tensors += weights.buffers.values()
        if weights.method.hides_mask:
            tensors.append(weights.mask)
    for parameter in trained:
        tensors += phase.optimizer.state.get(parameter, {}).values()
    storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}
    return sum(storages.values())


def compile_first(setting: Setting) -> None:
    """Take a step with each method on a model of a few weights, so that all that they compile is there."""
    config = BertConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    for method in _COMPILED:
        spec = setting.spec(method)
        model = BertForSequenceClassification(config)
        model.to(setting.device)  # type: ignore[arg-type]  # transformers' wrapper hides nn.Module's signature
        pruner = Pruner(model, spec, spec.schedule(BATCH), autocast_alone=setting.bf16)
        phase = FineTuning(model, setting.material(spec), pruner=pruner)
        pruner.begin()
        for step in (0, pruner.schedule.warmup_steps + 1):
            phase.step(step)


def peak_resident() -> int:
    """Bytes of this program's largest resident set so far."""
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
    before = peak_resident()
    compile_first(setting)
    compiled = peak_resident() - before
    way = Ours(setting, None if options.name == "dense" else options.name)
    for position in positions(way.schedule, _ROUNDS).values():
        way.go_to(position)
        for _ in range(UNTIMED + 1):
            way.step()
    peak = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else peak_resident()
    weights = sum(matrix.parameter.numel() for matrix in prunable_matrices(way.phase.model))
    print(json.dumps({"peak": peak, "held": held_bytes(way.phase), "weights": weights, "compiled": compiled}))


if __name__ == "__main__":
    main()
