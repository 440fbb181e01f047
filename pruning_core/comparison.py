"""How sure a quality is, and whether a pruned model is measurably worse than its dense one, judged on the same rows."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from pruning_core.tasks.base import RowScores, Task

LEVEL = 0.95
#: A loss that an interval must exclude before it is said that there is none: two points.
NEGLIGIBLE_POINTS = 2.0
_RESAMPLES = 2000
#: Of fewer rows a bootstrap says nothing: it knows no others, and two numbers always correlate.
LEAST_RESAMPLED = 20
#: Numbers that the bootstrap looks at in all, and at once: more rows need fewer resamples, and no more memory.
_MOST_LOOKED_AT, _AT_ONCE = 100_000_000, 4_000_000

Bounds = tuple[float, float]


@dataclass(frozen=True)
class Difference:
    """The pruned model's primary metric minus the dense one's.

    Attributes:
        value: in the metric's own unit.
        bounds: of the confidence interval.
        p_value: McNemar's exact test, where rows are right or wrong; None elsewhere.
    """

    value: float
    bounds: Bounds
    p_value: float | None


def bounds_of(task: Task, rows: RowScores) -> Bounds | None:
    """The confidence interval of the primary metric; None of a few rows, which say nothing.

    Wilson's for a share of rows; for other metrics the percentiles of a bootstrap over rows.
    """
    if task.counts_rows:
        found = stats.binomtest(round(float(rows.scores.sum())), len(rows)).proportion_ci(LEVEL, method="wilson")
        return float(found.low), float(found.high)
    return _bootstrapped(rows, lambda chosen: task.metric_of(rows.terms[chosen].sum(axis=-2)))


def difference(task: Task, dense: RowScores, pruned: RowScores) -> Difference | None:
    """The paired difference of two models judged on the same rows; None of a few rows, which say nothing."""
    value = float(task.metric_of(pruned.terms.sum(axis=0)) - task.metric_of(dense.terms.sum(axis=0)))
    if task.counts_rows:
        lost = int(np.count_nonzero((dense.scores == 1) & (pruned.scores == 0)))
        won = int(np.count_nonzero((dense.scores == 0) & (pruned.scores == 1)))
        p_value = float(stats.binomtest(won, won + lost).pvalue) if won + lost else 1.0
        return Difference(value, paired_bounds(lost, won, len(dense)), p_value)

    def statistic(chosen: NDArray[np.int64]) -> NDArray[np.float64]:
        ours, theirs = (task.metric_of(side.terms[chosen].sum(axis=-2)) for side in (pruned, dense))
        return ours - theirs

    bounds = _bootstrapped(dense, statistic)
    return None if bounds is None else Difference(value, bounds, None)


def paired_bounds(lost: int, won: int, rows: int) -> Bounds:
    """The interval of a difference of paired shares (Agresti & Min 2005, section 3).

    Wald's, with half a pair more in each of the four cells: honest where few rows differ, or none.

    Args:
        lost: rows that only the first has right.
        won: rows that only the second has right.
        rows: all.
    """
    n = rows + 2
    centre = (won - lost) / n
    spread = math.sqrt((won + lost + 1) - (won - lost) ** 2 / n) / n
    reach = float(stats.norm.ppf((1 + LEVEL) / 2)) * spread
    return max(-1.0, centre - reach), min(1.0, centre + reach)


def _bootstrapped(rows: RowScores, statistic: Callable[[NDArray[np.int64]], NDArray[np.float64]]) -> Bounds | None:
    """Percentiles over resampled row numbers, [..., rows] → [...]; the same ones every time."""
    count = len(rows)
    if count < LEAST_RESAMPLED:
        return None
    width = count * rows.terms.shape[1]
    found = stats.bootstrap(
        (np.arange(count),),
        lambda chosen, axis: statistic(chosen),
        n_resamples=max(200, min(_RESAMPLES, _MOST_LOOKED_AT // width)),
        batch=max(1, _AT_ONCE // width),
        vectorized=True,
        confidence_level=LEVEL,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return float(found.low), float(found.high)
