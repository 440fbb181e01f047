"""Weights by their value and by what ranked them, as in the paper's figure 4: counted while a run has both."""

import math

import numpy as np
import torch
from numpy.typing import NDArray

from pruning_core.masking import MaskedWeights

BINS = 48
#: So many weights show all there is to see.
_MOST_COUNTED = 2_000_000
#: Share of the weights beyond each end of an axis, which would stretch it.
_BEYOND = 0.0005


@torch.no_grad()
def ranks_by_weight(weights: MaskedWeights) -> dict[str, object]:
    """Count kept and removed weights; what has gone counts as training left it.

    Args:
        weights: of a run whose steps are done, not settled yet.

    Returns:
        The fields of `report_schema.Histogram`.
    """
    step = math.ceil(len(weights) / _MOST_COUNTED)
    ranks = weights.method.importance(torch.empty_like(weights.weight))
    weight, rank, kept = (values.detach()[::step].cpu().numpy() for values in (weights.weight, ranks, weights.mask))
    # Doubles: an edge rounded to fp32 would leave out what is clipped to it.
    weight, rank = weight.astype(np.float64), np.nan_to_num(rank.astype(np.float64))
    wide = float(np.quantile(np.abs(weight), 1 - _BEYOND)) or 1.0
    low, high = (float(value) for value in np.quantile(rank, (_BEYOND, 1 - _BEYOND)))
    if low == high:
        low, high = low - 0.5, high + 0.5

    def count(chosen: NDArray[np.bool_]) -> list[list[int]]:
        x, y = np.clip(weight[chosen], -wide, wide), np.clip(rank[chosen], low, high)
        counts = np.histogram2d(x, y, BINS, [[-wide, wide], [low, high]])[0]
        return [[int(value) for value in row] for row in counts]

    return {
        "weight": (-wide, wide),
        "rank": (low, high),
        "kept": count(kept),
        "removed": count(~kept),
        "sampled": len(weight),
    }
