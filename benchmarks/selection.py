"""Exact top-k over all scores, ours against the library calls it replaces, interleaved in one run.

`make bench-selection` prints a table and, as its last line, one JSON object with times as a ratio to `numpy.partition`.
"""

import json
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

from pruning_core.selection import select_top

WEIGHTS = 10_616_832  # MiniLM-L6
ROUNDS = 15


def main() -> None:
    """Measure each way at three densities."""
    scores = torch.randn(WEIGHTS, generator=torch.Generator().manual_seed(0)).abs()
    mask = torch.empty(WEIGHTS, dtype=torch.bool)
    ratios: dict[str, dict[str, float]] = {}
    for density in (0.5, 0.1, 0.03):
        keep = round(density * WEIGHTS)
        threshold = WEIGHTS - keep

        def by_partition(threshold: int = threshold) -> None:
            np.greater_equal(scores.numpy(), np.partition(scores.numpy(), threshold)[threshold], out=mask.numpy())

        def by_kthvalue(threshold: int = threshold) -> None:
            torch.ge(scores, torch.kthvalue(scores, threshold + 1).values, out=mask)

        def ours(keep: int = keep) -> None:
            select_top(scores, keep, out=mask)

        ways: dict[str, Callable[[], None]] = {"ours": ours, "partition": by_partition, "kthvalue": by_kthvalue}
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(ROUNDS):
            for name, way in ways.items():
                started = time.perf_counter()
                way()
                seconds[name].append(time.perf_counter() - started)
                assert int(mask.sum()) == keep
        median = {name: statistics.median(times) for name, times in seconds.items()}
        ratios[f"{density:.0%}"] = {name: round(value / median["partition"], 3) for name, value in median.items()}
        print(f"density {density:4.0%}: " + ", ".join(f"{name} {1000 * s:.1f} ms" for name, s in median.items()))
    print(json.dumps({"ratio": ratios}))


if __name__ == "__main__":
    main()
