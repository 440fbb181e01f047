"""What came of a run, in one sentence that claims no more than was measured."""

from typing import Literal

from pruning_core.comparison import NEGLIGIBLE_POINTS, Bounds, Difference
from pruning_core.tasks.base import Task

Kind = Literal["no_measurable_loss", "loss", "gain", "too_small", "no_baseline", "useless"]


def verdict(
    task: Task,
    *,
    density: float,
    pruned: float,
    bounds: Bounds | None,
    dense: float | None,
    against: Difference | None,
    rows: int,
    useless: str | None,
) -> tuple[Kind, str]:
    """The kind of outcome, and the sentence.

    Args:
        task: names the metric and says what a point of it is.
        density: kept share of the prunable weights.
        pruned: primary metric of the pruned model.
        bounds: its interval.
        dense: the dense model's; None without a baseline.
        against: the paired difference.
        rows: judged.
        useless: what to tell of a model that is no better than guessing.
    """
    name, point = task.primary_metric, task.point

    def shown(value: float) -> str:
        return f"{value / point:.1f}"

    if useless is not None:
        return "useless", useless
    at = f"at a density of {density:.1%}"
    if dense is None:
        sure = "" if bounds is None else f" (95 % interval {shown(bounds[0])} to {shown(bounds[1])})"
        return "no_baseline", (
            f"The pruned model's {name} is {shown(pruned)}{sure} {at}, on {rows:,} rows; there is no dense model to "
            "compare it with."
        )
    rest = f"{at}, the dense model's {shown(dense)}, on the same {rows:,} rows"
    return _compared(
        f"{name} {shown(pruned)} {rest}", round(pruned / point, 1) - round(dense / point, 1), against, point
    )


def _compared(both: str, shown: float, against: Difference | None, point: float) -> tuple[Kind, str]:
    """What a difference says.

    Args:
        both: the two figures, in words.
        shown: their difference in points, of the figures as they are shown: readers subtract.
        against: the difference.
        point: what a point of the metric is.
    """
    if against is None:
        return "too_small", f"The evaluation split is too small to tell: {both}."
    low, high = (bound / point for bound in against.bounds)
    if high < 0:
        lost = f"Loses {_size(-shown)} points (95 % interval {-high:.1f} to {-low:.1f})"
        return "loss", f"{lost}: {both}."
    if low > 0:
        won = f"Gains {_size(shown)} points (95 % interval {low:.1f} to {high:.1f})"
        return "gain", f"{won}: {both}."
    between = f"the difference is {_signed(shown)} points, 95 % interval {_signed(low)} to {_signed(high)}"
    if low > -NEGLIGIBLE_POINTS:
        return "no_measurable_loss", f"No measurable loss: {both}; {between}."
    return "too_small", f"The evaluation split is too small to tell: {both}; {between}."


def _size(points: float) -> str:
    return f"{points:.1f}" if points >= 0.05 else "less than 0.1"


def _signed(points: float) -> str:
    return f"{round(points, 1) + 0.0:+.1f}"  # a sum with +0.0 is never -0.0
