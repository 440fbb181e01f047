"""Where a pruned model stands beside the dense one: the report's comparison and its verdict."""

from dataclasses import dataclass

from pruning_core.comparison import LEVEL, Bounds, Difference, bounds_of, difference
from pruning_core.report_schema import Comparison, Interval, Verdict
from pruning_core.tasks.base import RowScores, Task
from pruning_core.verdict import verdict

_COUNTED = "Wilson's interval; the difference by Agresti & Min 2005 for paired shares; McNemar's exact test."
_RESAMPLED = "Percentiles of a bootstrap over rows, the same rows for both models."
_CAVEAT = f"{LEVEL:.0%} intervals of what other evaluation rows could have shown; another seed may differ by more."


@dataclass(frozen=True)
class Standing:
    """Comparison and verdict."""

    comparison: Comparison
    verdict: Verdict


def standing(
    task: Task, pruned: RowScores, dense: RowScores | None, *, density: float, useless: str | None
) -> Standing:
    """Compare, and say it in a sentence.

    Args:
        task: whose primary metric.
        pruned: how each row went with the pruned model.
        dense: the same with the dense one; None without a baseline.
        density: kept share of the prunable weights.
        useless: what to tell of a pruned model that is no better than guessing.
    """
    bounds, dense_bounds = bounds_of(task, pruned), None if dense is None else bounds_of(task, dense)
    value, against = _metric(task, pruned), None if dense is None else difference(task, dense, pruned)
    dense_value = None if dense is None else _metric(task, dense)
    kind, sentence = verdict(
        task,
        density=density,
        pruned=value,
        bounds=bounds,
        dense=dense_value,
        against=against,
        rows=len(pruned),
        useless=useless,
    )
    comparison = Comparison(
        metric=task.primary_metric,
        rows=len(pruned),
        pruned=_interval(value, bounds),
        dense=None if dense_value is None else _interval(dense_value, dense_bounds),
        difference=_difference(value, dense_value, against),
        p_value=None if against is None else against.p_value,
        methods=f"{_COUNTED if task.counts_rows else _RESAMPLED} {_CAVEAT}",
    )
    return Standing(comparison, Verdict(kind=kind, sentence=sentence))


def _metric(task: Task, rows: RowScores) -> float:
    return float(task.metric_of(rows.terms.sum(axis=0)))


def _interval(value: float, bounds: Bounds | None) -> Interval:
    low, high = bounds or (None, None)
    return Interval(value=value, low=low, high=high)


def _difference(pruned: float, dense: float | None, against: Difference | None) -> Interval | None:
    if dense is None:
        return None
    return _interval(pruned - dense, None) if against is None else _interval(against.value, against.bounds)
