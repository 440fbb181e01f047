"""What the runs of a sweep show together: means over seeds, and which settings no other beats."""

import json
from collections.abc import Iterable, Sequence
from statistics import fmean, stdev
from typing import Literal

from pydantic import BaseModel, Field

from api.figures import Figures, Numbers, figures_of
from api.sweeps.grid import SEEDS, Point
from store import Job

Cost = Literal["density", "bytes"]


class SpreadView(BaseModel):
    """A mean over seeds."""

    n: int = Field(description="How many values it is of.")
    mean: float
    sd: float | None = Field(description="Sample standard deviation; null of a single value.")


class RowView(BaseModel):
    """All seeds of one setting."""

    point: dict[str, object] = Field(description="The setting.")
    runs: int
    succeeded: int = Field(description="How many of the runs the figures are of.")
    primary_metric: str | None = Field(description="What they are judged by; null before the first result.")
    eval: dict[str, SpreadView] = Field(description="Each metric of the pruned models.")
    dense_eval: dict[str, SpreadView] = Field(description="Each metric of the unpruned models.")
    density: SpreadView | None = Field(description="Kept share of the prunable weights.")
    bytes: SpreadView | None = Field(description="Size of the packed model, where it was packed.")
    pareto: list[Cost] = Field(
        description="Against what it is on the Pareto front: no other setting is at least as good for at most as much, "
        "and in one of the two better."
    )


def rows_of(runs: Iterable[tuple[Point, Job]]) -> list[RowView]:
    """The table: a row for each setting, in the order of the grid."""
    groups: dict[str, tuple[Point, list[Figures | None]]] = {}
    for point, job in runs:
        setting = {field: value for field, value in point.items() if field != SEEDS}
        _, group = groups.setdefault(json.dumps(setting), (setting, []))
        group.append(figures_of(job) if job.result else None)
    rows = [_row(*group) for group in groups.values()]
    fronts: dict[Cost, list[bool]] = {
        cost: on_front([_place(row, cost) for row in rows]) for cost in ("density", "bytes")
    }
    return [
        row.model_copy(update={"pareto": [cost for cost, front in fronts.items() if front[index]]})
        for index, row in enumerate(rows)
    ]


def on_front(places: Sequence[tuple[float, float] | None]) -> list[bool]:
    """Whether each of some places is on the Pareto front.

    Args:
        places: (quality, cost) each, of which more and less are better; None is on no front and beats nobody.
    """
    return [
        mine is not None
        and not any(
            other is not None and other != mine and other[0] >= mine[0] and other[1] <= mine[1] for other in places
        )
        for mine in places
    ]


def _row(setting: Point, group: Sequence[Figures | None]) -> RowView:
    figures = [each for each in group if each is not None]
    return RowView(
        point=dict(setting),
        runs=len(group),
        succeeded=len(figures),
        primary_metric=figures[0].primary_metric if figures else None,
        eval=_spreads([each.evaluation for each in figures]),
        dense_eval=_spreads([each.dense for each in figures]),
        density=_spreads([each.density for each in figures]).get("prunable"),
        bytes=_spreads([each.sizes for each in figures]).get("packed"),
        pareto=[],
    )


def _spreads(numbers: Sequence[Numbers]) -> dict[str, SpreadView]:
    names = dict.fromkeys(name for each in numbers for name in each)
    values = {name: [each[name] for each in numbers if name in each] for name in names}
    return {
        name: SpreadView(n=len(some), mean=fmean(some), sd=stdev(some) if len(some) > 1 else None)
        for name, some in values.items()
    }


def _place(row: RowView, cost: Cost) -> tuple[float, float] | None:
    quality = row.eval.get(row.primary_metric or "")
    paid = row.density if cost == "density" else row.bytes
    return (quality.mean, paid.mean) if quality and paid else None
