"""Holding rows out of the training split, for datasets that come without one to evaluate on."""

import numpy as np
from numpy.typing import NDArray

from pruning_core.tasks.base import DataError

#: Row numbers to train on, and row numbers held out; both ascending.
Halves = tuple[NDArray[np.int64], NDArray[np.int64]]


def stratified_holdout(labels: NDArray[np.int64], share: float, seed: int) -> Halves:
    """Split row numbers into (train, held out), each class in proportion and never wholly held out.

    Args:
        labels: [n] class index of each row.
        share: held-out share of each class, rounded to the nearest row.
        seed: same seed, same rows.

    Raises:
        DataError: no class has a row to spare.
    """
    rng = np.random.default_rng(seed)
    held: list[NDArray[np.int64]] = []
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        held.append(rows[: min(round(share * len(rows)), len(rows) - 1)])
    return _halves(len(labels), np.concatenate(held))


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
