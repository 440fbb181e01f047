"""How far a job is: its step, and the series it measures."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select, update

from store.clock import db_now
from store.engine import ReadSession, WriteSession
from store.fences import Fence, hold
from store.jobs import get_job
from store.tables import Job, Metric
from store.upserts import insert_into


@dataclass(frozen=True, slots=True)
class MetricPoint:
    """One measured value; None stands for NaN and infinity, which JSON cannot say."""

    step: int
    value: float | None
    at: datetime


def record_progress(
    session: WriteSession,
    fence: Fence,
    *,
    step: int,
    total_steps: int | None = None,
    density: float | None = None,
    phase: str | None = None,
    eta_s: float | None = None,
    metrics: Sequence[tuple[str, int, float]] = (),
) -> None:
    """Show a job's progress and add measured values.

    Args:
        session: Committed by its owner.
        fence: The attempt that reports.
        step: Steps done.
        total_steps: Steps in all; None leaves it as it is, like the next two.
        density: The kept share of the prunable weights now.
        phase: What is being done, in a word.
        eta_s: Seconds left, or None if unknown.
        metrics: Measured values as (name, step, value). A step that an earlier attempt measured is overwritten.

    Raises:
        FenceLost: The attempt no longer owns the job.
    """
    hold(session, fence)
    known = {"total_steps": total_steps, "density": _finite(density), "phase": phase}
    session.execute(
        update(Job)
        .where(Job.id == fence.job_id)
        .values(
            step=step,
            eta_s=_finite(eta_s),
            version=Job.version + 1,
            updated_at=db_now(),
            **{name: value for name, value in known.items() if value is not None},
        )
        .execution_options(synchronize_session=False)
    )
    for name, at_step, value in metrics:
        row = insert_into(session, Metric).values(
            job_id=fence.job_id, name=name, step=at_step, value=_finite(value), at=db_now(), attempt=fence.attempt
        )
        session.execute(
            row.on_conflict_do_update(
                index_elements=[Metric.job_id, Metric.name, Metric.step],
                set_={"value": row.excluded.value, "at": row.excluded.at, "attempt": row.excluded.attempt},
            )
        )


def metrics_of(
    session: ReadSession, team_id: str, job_id: str, *, name: str | None = None, max_points: int | None = None
) -> dict[str, list[MetricPoint]]:
    """Return a job's series by name, each in the order of its steps.

    Args:
        session: Where to read.
        team_id: Whose job.
        job_id: Which job.
        name: Only this series.
        max_points: Thin each series evenly to at most this many points, at least 2; its ends are kept.

    Raises:
        NotFound: The team has no such job.
    """
    get_job(session, team_id, job_id)
    rows = select(Metric.name, Metric.step, Metric.value, Metric.at).where(Metric.job_id == job_id)
    if name is not None:
        rows = rows.where(Metric.name == name)
    series: dict[str, list[MetricPoint]] = {}
    for series_name, step, value, at in session.execute(rows.order_by(Metric.name, Metric.step)):
        series.setdefault(series_name, []).append(MetricPoint(step, value, at))
    return {key: thinned(points, max_points) for key, points in series.items()} if max_points else series


def thinned(points: list[MetricPoint], most: int) -> list[MetricPoint]:
    """Keep at most `most` (two or more) evenly spread points, the first and the last among them."""
    if len(points) <= most:
        return points
    gap = (len(points) - 1) / (most - 1)
    return [points[round(index * gap)] for index in range(most)]


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
