"""How long exported models take for a batch beside the dense one, in PyTorch and in ONNX Runtime."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from statistics import median

import torch
from torch import Tensor

from pruning_core.latency import interleaved

THREADS = 2
SEQUENCE = 128
BATCHES = (1, 32)
_MOST_ROUNDS = 40
#: About how long the rounds of one batch size may take in all, once there are enough.
_SECONDS = 15.0

#: Which runtime, `pytorch` or `onnxruntime`, and which model, `dense`, `structured` or `int8`.
Candidate = tuple[str, str]


@dataclass(frozen=True)
class Speed:
    """What one model takes for one batch on a CPU.

    Attributes:
        runtime: `pytorch` or `onnxruntime`.
        model: `dense`, `structured` or `int8`.
        batch: rows of `SEQUENCE` tokens.
        median_ms: milliseconds, the median of the rounds.
        speedup: the dense model's time in the same runtime over this one's, the median over the rounds.
    """

    runtime: str
    model: str
    batch: int
    median_ms: float
    speedup: float


def measure(
    candidates: Mapping[Candidate, Callable[[Mapping[str, Tensor]], object]],
    inputs: Callable[[int], Mapping[str, Tensor]],
) -> list[Speed]:
    """Time models against the dense one of the same runtime.

    Args:
        candidates: what answers, the `dense` one of each runtime among them.
        inputs: makes what they answer, of so many rows.
    """
    found = []
    with _threads(THREADS), torch.inference_mode():
        for batch in BATCHES:
            given = inputs(batch)
            ways = {name: partial(answer, given) for name, answer in candidates.items()}
            rounds = interleaved(ways, seconds=_SECONDS, most=_MOST_ROUNDS)
            for runtime, model in candidates:
                took = median(each[runtime, model] for each in rounds)
                speedup = median(each[runtime, "dense"] / each[runtime, model] for each in rounds)
                found.append(Speed(runtime, model, batch, round(1000 * took, 3), round(speedup, 3)))
    return found


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
