"""Jobs as the outside sees them."""

from datetime import datetime

from pydantic import BaseModel, Field

from store import ACTIVE, Attempt, AttemptLog, AttemptOutcome, Event, Job, JobStatus, MaskLayer, MetricPoint, Place


class ProgressView(BaseModel):
    """How far a job is."""

    step: int = Field(description="Optimizer steps done, those of the dense baseline among them.")
    total_steps: int | None
    phase: str | None = Field(
        description="What is being done: `dense` (the baseline), `pruning`, `fitting` (what is left, to the "
        "dense model), `delivering` (judging and writing)."
    )
    density: float | None = Field(description="Kept share of the prunable weights now.")
    eta_s: float | None = Field(
        description="Seconds until the job is done, as far as can be told. Of a waiting job only when it is looked at "
        "alone, near the front, and jobs like it and those before it have run before."
    )


class ErrorView(BaseModel):
    """Why a job failed."""

    code: str
    detail: str
    log_tail: str | None = Field(default=None, description="The last lines of the trainer's log.")


class UrlsView(BaseModel):
    """Where to go on from a job."""

    self: str
    events: str
    metrics: str
    masks: str
    attempts: str
    logs: str
    artifacts: str
    archive: str
    cancel: str
    pause: str
    resume: str
    retry: str
    pin: str
    unpin: str


class JobView(BaseModel):
    """A job."""

    id: str
    status: JobStatus
    name: str | None
    tags: dict[str, str]
    priority: int
    queue_position: int | None = Field(
        description="1 is next. Jobs of all teams count, in the order in which they would begin if none ended "
        "meanwhile; null unless queued, in lists, while the job backs off after a crash, and where it asks for more "
        "GPUs than any worker offers."
    )
    spec: dict[str, object] = Field(
        description="As resolved: every default filled in, with the task's columns, the splits, `labels` in the order "
        "of their ids, `holdout` (the share of training rows held out, or null) and `total_steps` of one run."
    )
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    attempt: int = Field(description="How often a worker has begun it.")
    retry_of: str | None = Field(description="The job that this one tries again.")
    sweep: str | None = Field(description="The sweep that it is part of.")
    pinned: bool = Field(description="Whether its checkpoints and files are kept from retention.")
    files_expired_at: datetime | None = Field(description="When retention removed its files.")
    progress: ProgressView
    result: dict[str, object] | None = Field(description="Quality, densities and sizes, once it has succeeded.")
    error: ErrorView | None
    warnings: list[str] = Field(description="Advice given at submit.")
    urls: UrlsView


def progress_view(job: Job, place: Place | None = None) -> ProgressView:
    """Show how far a job is."""
    return ProgressView(
        step=job.step,
        total_steps=job.total_steps,
        phase=job.phase,
        density=job.density,
        # A job that lost its worker keeps what that one foretold; nobody works towards it any more.
        eta_s=job.eta_s if job.status in ACTIVE else place and place.eta_s,
    )


def job_view(job: Job, place: Place | None = None) -> JobView:
    """Show a job, and where it stands if it waits."""
    url = f"/v1/jobs/{job.id}"
    return JobView(
        id=job.id,
        status=job.status,
        name=job.name,
        tags=dict(job.tags),
        priority=job.priority,
        queue_position=place.position if place else None,
        spec=dict(job.spec),
        created_at=job.created_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
        attempt=job.attempt,
        retry_of=job.retry_of,
        sweep=job.sweep_id,
        pinned=job.pinned,
        files_expired_at=job.files_expired_at,
        progress=progress_view(job, place),
        result=dict(job.result) if job.result is not None else None,
        error=ErrorView.model_validate(job.error) if job.error is not None else None,
        warnings=list(job.warnings),
        urls=UrlsView(
            self=url,
            events=f"{url}/events",
            metrics=f"{url}/metrics",
            masks=f"{url}/masks",
            attempts=f"{url}/attempts",
            logs=f"{url}/logs",
            artifacts=f"{url}/artifacts",
            archive=f"{url}/archive",
            cancel=f"{url}/cancel",
            pause=f"{url}/pause",
            resume=f"{url}/resume",
            retry=f"{url}/retry",
            pin=f"{url}/pin",
            unpin=f"{url}/unpin",
        ),
    )


class EventView(BaseModel):
    """Something that happened to a job."""

    seq: int = Field(description="Counts from 1 without gaps; pass the last one as `after`.")
    type: str
    at: datetime
    attempt: int | None
    data: dict[str, object]


def event_view(event: Event) -> EventView:
    """Show an event."""
    return EventView(seq=event.seq, type=event.type, at=event.at, attempt=event.attempt, data=dict(event.data))


class AttemptView(BaseModel):
    """One try of one worker."""

    attempt: int = Field(description="Counts from 1.")
    worker: str
    started_at: datetime
    heartbeat_at: datetime = Field(description="When its worker last renewed the lease.")
    ended_at: datetime | None
    outcome: AttemptOutcome | None = Field(description="How it ended; null while it runs.")
    error: ErrorView | None


class AttemptsView(BaseModel):
    """A job's attempts."""

    data: list[AttemptView]


def attempt_view(attempt: Attempt) -> AttemptView:
    """Show an attempt."""
    return AttemptView(
        attempt=attempt.number,
        worker=attempt.worker,
        started_at=attempt.started_at,
        heartbeat_at=attempt.heartbeat_at,
        ended_at=attempt.ended_at,
        outcome=attempt.outcome,
        error=ErrorView.model_validate(attempt.detail) if attempt.detail is not None else None,
    )


class LogView(BaseModel):
    """The end of what one attempt's trainer printed."""

    attempt: int
    text: str
    printed: int = Field(description="Bytes printed in all, of which `text` is the end.")
    updated_at: datetime


class LogsView(BaseModel):
    """What a job's trainers printed."""

    data: list[LogView]


def log_view(log: AttemptLog, tail: int) -> LogView:
    """Show the last lines of a log."""
    lines = log.text.splitlines(keepends=True)
    return LogView(attempt=log.attempt, text="".join(lines[-tail:]), printed=log.printed, updated_at=log.updated_at)


class MetricsView(BaseModel):
    """A job's measurements."""

    series: dict[str, list[tuple[int, float | None, datetime]]] = Field(
        description="Series name → [step, value, time]; a value that was not finite is null."
    )


def metrics_view(series: dict[str, list[MetricPoint]]) -> MetricsView:
    """Show measurements."""
    return MetricsView(
        series={name: [(point.step, point.value, point.at) for point in points] for name, points in series.items()}
    )


class LayerView(BaseModel):
    """How much of one pruned matrix was kept."""

    name: str
    shape: list[int]
    kept: int
    total: int
    density: float


class PictureView(BaseModel):
    """A mask seen from afar."""

    layer: str
    density: list[list[float]] = Field(description="Kept share of each cell, rows of the matrix from top to bottom.")


class MasksView(BaseModel):
    """A job's masks."""

    data: list[LayerView]
    picture: PictureView | None = Field(default=None, description="Of the layer that was asked for.")


def layer_view(layer: MaskLayer) -> LayerView:
    """Show a layer."""
    return LayerView(
        name=layer.name,
        shape=list(layer.shape),
        kept=layer.kept,
        total=layer.total,
        density=layer.kept / layer.total,
    )


class ArtifactView(BaseModel):
    """A file that a job produced."""

    name: str
    kind: str
    size: int
    sha256: str
    media_type: str
    url: str


class ArtifactsView(BaseModel):
    """A job's files."""

    data: list[ArtifactView]
