"""Sweeps as the outside sees them."""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field

from api.figures import figures_of
from api.sweeps.grid import points_of
from api.sweeps.table import RowView, rows_of
from store import ACTIVE, TERMINAL, Job, JobStatus, Sweep

SweepStatus = Literal["queued", "running", "paused", "succeeded", "failed", "cancelled"]


class RunView(BaseModel):
    """One job of a sweep."""

    job: str = Field(description="Its id; of a point that was tried again, the last one's.")
    point: dict[str, object] = Field(description="The values that the grid gave it.")
    status: JobStatus
    quality: float | None = Field(description="The value of its `primary_metric`.")
    relative: float | None = Field(description="The same as a share of the dense model's.")
    density: float | None = Field(description="Kept share of the prunable weights.")
    url: str


class SweepAdviceView(BaseModel):
    """What was said at submit of some of a sweep's jobs."""

    warning: str
    jobs: list[str] = Field(description="The ids of those it was said of.")


class SweepUrlsView(BaseModel):
    """Where to go on from a sweep."""

    self: str
    cancel: str


class SweepSummaryView(BaseModel):
    """A sweep, in short."""

    id: str
    name: str | None
    status: SweepStatus = Field(
        description="Of all its jobs: `queued` before the first begins, `paused` where the unfinished all are; at the "
        "end `failed` where any has, else `cancelled` where any was."
    )
    created_at: datetime
    grid: dict[str, list[object]]
    jobs_by_status: dict[JobStatus, int]
    urls: SweepUrlsView


class SweepView(SweepSummaryView):
    """A sweep with its jobs and what they show together."""

    base: dict[str, object]
    warnings: list[SweepAdviceView] = Field(description="Advice given at submit, each piece once.")
    runs: list[RunView] = Field(description="Its jobs, in the order of the grid.")
    table: list[RowView] = Field(description="A row for each setting, its seeds taken together.")


def summary_view(sweep: Sweep, statuses: Sequence[JobStatus]) -> SweepSummaryView:
    """Show a sweep in short."""
    url = f"/v1/sweeps/{sweep.id}"
    return SweepSummaryView(
        id=sweep.id,
        name=sweep.name,
        status=_status(statuses),
        created_at=sweep.created_at,
        grid={field: list(values) for field, values in sweep.grid.items()},
        jobs_by_status=dict(Counter(statuses)),
        urls=SweepUrlsView(self=url, cancel=f"{url}/cancel"),
    )


def sweep_view(sweep: Sweep, jobs: Sequence[Job]) -> SweepView:
    """Show a sweep with its jobs."""
    points = points_of(sweep.grid)
    runs = [(points[job.sweep_position or 0], job) for job in jobs]
    return SweepView(
        **dict(summary_view(sweep, [job.status for job in jobs])),
        base=dict(sweep.base),
        warnings=[
            SweepAdviceView(warning=warning, jobs=[job.id for job in jobs if warning in job.warnings])
            for warning in dict.fromkeys(warning for job in jobs for warning in job.warnings)
        ],
        runs=[
            RunView(
                job=job.id,
                point=dict(point),
                status=job.status,
                quality=(figures := figures_of(job)).quality,
                relative=figures.relative,
                density=figures.density.get("prunable"),
                url=f"/v1/jobs/{job.id}",
            )
            for point, job in runs
        ],
        table=rows_of(runs),
    )


def table_lines(view: SweepView) -> Iterator[dict[str, object]]:
    """The table as flat rows: settings, then figures with `_sd` beside each mean."""
    for row in view.table:
        line: dict[str, object] = {**row.point, "runs": row.runs, "succeeded": row.succeeded}
        line["primary_metric"] = row.primary_metric
        spreads = {f"eval.{name}": spread for name, spread in row.eval.items()}
        spreads |= {f"dense_eval.{name}": spread for name, spread in row.dense_eval.items()}
        spreads |= {name: spread for name, spread in (("density", row.density), ("bytes", row.bytes)) if spread}
        for name, spread in spreads.items():
            line |= {name: spread.mean, f"{name}_sd": spread.sd}
        yield {**line, "pareto": " ".join(row.pareto)}


def _status(statuses: Sequence[JobStatus]) -> SweepStatus:
    found = set(statuses)
    unfinished = found - TERMINAL
    if not unfinished:
        if JobStatus.FAILED in found:
            return "failed"
        return "succeeded" if found == {JobStatus.SUCCEEDED} else "cancelled"
    if unfinished == {JobStatus.PAUSED}:
        return "paused"
    begun = found & (ACTIVE | TERMINAL)
    return "running" if begun else "queued"
