"""Holding rows out of the training split, for datasets that come without one to evaluate on."""

import numpy as np
from numpy.typing import NDArray

from pruning_core.tasks.base import DataError

#: Row numbers to train on, and row numbers held out; both ascending.
Halves = tuple[NDArray[np.int64], NDArray[np.int64]]


def stratified_holdout(labels: NDArray[np.int64], share: float, seed: int) -> Halves:
    """Split row numbers into (train, held out), each class in proportion and never wholly held out.

    Shares of a row are given out by the method of largest remainders, equal ones by lot: of 77 classes of five rows, 38
    have a row held out. Each class for itself would round its half a row to none.

    Args:
        labels: [n] class index of each row.
        share: held-out share of all rows, rounded to the nearest row.
        seed: same seed, same rows.

    Raises:
        DataError: no class has a row to spare.
    """
    rng = np.random.default_rng(seed)
    names, sizes = np.unique(labels, return_counts=True)
    by_class = [rng.permutation(np.flatnonzero(labels == name)) for name in names]
    counts = _in_proportion(sizes, share, rng)
    return _halves(len(labels), np.concatenate([rows[:count] for rows, count in zip(by_class, counts, strict=True)]))


def _in_proportion(sizes: NDArray[np.int64], share: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """How many of each class: its share rounded down or up, together `share` of all where no class would be used up."""
    quotas = np.round(share * sizes, 9)  # 0.29 · 100 is 28.999999999999996
    counts = np.floor(quotas).astype(np.int64)
    remainders = quotas - counts
    order = rng.permutation(len(sizes))
    order = order[np.argsort(-remainders[order], kind="stable")]
    able = order[(remainders[order] > 0) & (counts[order] < sizes[order] - 1)]
    counts[able[: max(0, round(share * int(sizes.sum())) - int(counts.sum()))]] += 1
    return counts


def random_holdout(rows: int, share: float, seed: int) -> Halves:
    """Split row numbers into (train, held out) by lot: `share` of them, rounded, and never all.

    Raises:
        DataError: no row can be spared.
    """
    order = np.random.default_rng(seed).permutation(rows)
    return _halves(rows, order[: min(round(share * rows), rows - 1)])


def grouped_holdout(groups: NDArray[np.int64], share: float, seed: int) -> Halves:
    """Split row numbers into (train, held out) so that no group is on both sides.

    Groups are taken by lot as long as each brings the number of held-out rows nearer to the share.

    Args:
        groups: [n] group of each row.
        share: held-out share of the rows, as near as whole groups come to it.
        seed: same seed, same rows.

    Raises:
        DataError: there is one group only.
    """
    names, sizes = np.unique(groups, return_counts=True)
    wanted, held = share * len(groups), 0
    chosen: list[int] = []
    for group in np.random.default_rng(seed).permutation(len(names)):
        if abs(held + sizes[group] - wanted) < abs(held - wanted) and len(chosen) + 1 < len(names):
            chosen.append(int(group))
            held += int(sizes[group])
    if not chosen and len(names) > 1:  # every group is larger than twice the share: the smallest does least harm
        chosen = [int(np.argmin(sizes))]
    return _halves(len(groups), np.flatnonzero(np.isin(groups, names[chosen])))


def _halves(rows: int, held: NDArray[np.int64]) -> Halves:
    if len(held) == 0:
        raise DataError("Too few rows to hold any out for evaluation. Upload an evaluation split.")
    held = np.sort(held)
    return np.setdiff1d(np.arange(rows), held), held
