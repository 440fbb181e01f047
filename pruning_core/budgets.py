"""Per-matrix budgets: a matrix whose scores are higher keeps a larger share (SMP, arXiv 2210.06210, section 3)."""

from collections.abc import Sequence

import torch
from torch import Tensor

from pruning_core.selection import kept_count, ranking_keys, select_top


def budgets(scores: Tensor, slices: Sequence[slice], keep: int, most: Sequence[int] | None = None) -> Tensor:
    """How many weights each matrix keeps: in proportion to its Σσ(S), together exactly `keep`, at least one each.

    What a full matrix cannot take goes to the others, in the same proportion.

    Args:
        scores: [n] S.
        slices: where each matrix lies in `scores`.
        keep: how many to keep in all; where there are fewer than matrices, some keep none.
        most: how many each may keep at most; default: all of its weights.

    Returns:
        [matrices] int64 counts, on the device of the scores.
    """
    appeal = torch.stack([torch.sigmoid(scores[where]).sum(dtype=torch.float64) for where in slices])
    appeal = appeal.clamp(min=torch.finfo(torch.float32).tiny)  # where every σ(S) has underflown
    counted = most or [where.stop - where.start for where in slices]
    sizes = torch.tensor(counted, dtype=torch.float64)
    sizes = sizes.to(scores.device, non_blocking=True)
    least = 1.0 if keep >= len(slices) else 0.0
    # The shares min(max(least, t·appeal), size) grow with t, along straight lines between these knots.
    knots = torch.cat([least / appeal, sizes / appeal]).sort().values
    totals = (knots.unsqueeze(1) * appeal).clamp(min=least).minimum(sizes).sum(dim=1)
    above = (totals < keep).sum().clamp(1, len(knots) - 1).unsqueeze(0)
    (low, high), (start, stop) = ((values.gather(0, above - 1), values.gather(0, above)) for values in (totals, knots))
    t = start + (stop - start) * ((keep - low) / (high - low).clamp(min=1e-300)).clamp(0.0, 1.0)
    shares = (t * appeal).clamp(min=least).minimum(sizes)
    counts = shares.floor()
    # Largest remainders first (Hamilton's method).
    missing = keep - counts.sum()
    order = torch.where(counts < sizes, shares - counts, -torch.inf).argsort(descending=True, stable=True).argsort()
    return (counts + (order < missing).double()).long()


def select_with_budgets(
    scores: Tensor, slices: Sequence[slice], density: float, out: Tensor, sizes: Sequence[int] | None = None
) -> None:
    """Top share within each matrix, the shares by `budgets`.

    Args:
        scores: [n] S.
        slices: where each matrix lies in `scores`.
        density: kept share of all.
        out: [n] bool, overwritten.
        sizes: how many weights of each matrix may be kept at most; default: all.
    """
    counts = budgets(scores, slices, kept_count(len(scores), density), sizes)
    if scores.device.type == "cpu":
        for where, keep in zip(slices, counts.tolist(), strict=True):
            select_top(scores[where], keep, out[where])
        return
    _select_counts_on_device(scores, slices, counts, out)


def _select_counts_on_device(scores: Tensor, slices: Sequence[slice], counts: Tensor, out: Tensor) -> None:
    """The same choice by counts that never leave the device; they cannot size a top-k."""
    for where, count in zip(slices, counts, strict=True):
        keys = ranking_keys(scores[where])
        threshold = keys.sort(descending=True).values.gather(0, (count - 1).clamp(min=0).unsqueeze(0))
        out[where] = (keys >= threshold) & (count > 0)
