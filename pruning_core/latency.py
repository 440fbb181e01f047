"""How long models take for a batch, side by side: in turn within each round, so that a noisy machine wrongs none."""

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

THREADS = 2
SEQUENCE = 128
BATCHES = (1, 32)
_MOST_ROUNDS, _FEWEST_ROUNDS = 40, 3
#: About how long the rounds of one batch size may take in all, once there are enough.
_SECONDS = 15.0

#: Which runtime, `pytorch` or `onnxruntime`, and which model, `dense`, `structured` or `int8`.
Candidate = tuple[str, str]


@dataclass(frozen=True)
class Timing:
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
) -> list[Timing]:
    """Time models against the dense one of the same runtime.

    Args:
        candidates: what answers, the `dense` one of each runtime among them.
        inputs: makes what they answer, of so many rows.
    """
    found = []
    with _threads(THREADS), torch.inference_mode():
        for batch in BATCHES:
            given = inputs(batch)
            rounds: list[dict[Candidate, float]] = []
            for answer in candidates.values():
                answer(given)  # the first call plans and allocates
            started = time.monotonic()
            while len(rounds) < _FEWEST_ROUNDS or (
                len(rounds) < _MOST_ROUNDS and time.monotonic() - started < _SECONDS
            ):
                rounds.append({name: _seconds(answer, given) for name, answer in candidates.items()})
            for runtime, model in candidates:
                took = [each[runtime, model] for each in rounds]
                ratios = [each[runtime, "dense"] / each[runtime, model] for each in rounds]
                milliseconds = round(1000 * statistics.median(took), 3)
                found.append(Timing(runtime, model, batch, milliseconds, round(statistics.median(ratios), 3)))
    return found


def _seconds(answer: Callable[[Mapping[str, Tensor]], object], given: Mapping[str, Tensor]) -> float:
    started = time.perf_counter()
    answer(given)
    return time.perf_counter() - started


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
