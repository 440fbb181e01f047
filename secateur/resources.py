"""What the service returns, field by field, as typed dictionaries.

They are the JSON itself: `job["status"]` reads what the wire said, and fields that a newer service adds pass through.
"""

from typing import Literal, TypedDict

JobStatus = Literal["queued", "running", "pausing", "paused", "cancelling", "succeeded", "failed", "cancelled"]

#: A job in one of these will not change any more.
TERMINAL: frozenset[str] = frozenset({"succeeded", "failed", "cancelled"})


#: What jobs are ordered by, rising, or falling with `-`; those without a value come last.
Sort = Literal[
    "created_at", "-created_at", "finished_at", "-finished_at", "priority", "-priority",
    "name", "-name", "quality", "-quality",
]  # fmt: skip


class Progress(TypedDict):
    """How far a job has come; what is not known yet is null."""

    step: int
    total_steps: int | None
    phase: str | None
    density: float | None
    eta_s: float | None


class Densities(TypedDict):
    """Kept shares after pruning, of three nested sets of weights."""

    prunable: float
    encoder: float
    model: float


class ExportTiming(TypedDict):
    """What one model takes for one batch on a CPU, and how many times as fast as the dense one that is."""

    runtime: str
    model: str
    batch: int
    median_ms: float
    speedup: float


class ExportLatency(TypedDict):
    """How long models take, timed side by side in the job."""

    threads: int
    sequence: int
    timings: list[ExportTiming]


class Export(TypedDict, total=False):
    """What was made of the pruned model besides; the counts are those of `structured`."""

    eval: dict[str, float]
    heads: int
    heads_dense: int
    neurons: int
    neurons_dense: int
    parameters: int
    parameters_dense: int


class Result(TypedDict, total=False):
    """What a succeeded job achieved; `report.json` has the whole of it."""

    primary_metric: str
    eval: dict[str, float]
    dense_eval: dict[str, float] | None
    packed_eval: dict[str, float]
    exports: dict[str, Export]
    export_latency: ExportLatency | None
    density: Densities
    bytes: dict[str, int | None]
    notes: list[str]


class JobError(TypedDict):
    """Why a job failed."""

    code: str
    detail: str
    log_tail: str | None


class Job(TypedDict):
    """A pruning job."""

    id: str
    status: JobStatus
    name: str | None
    tags: dict[str, str]
    priority: int
    queue_position: int | None
    spec: dict[str, object]
    created_at: str
    started_at: str | None
    finished_at: str | None
    attempt: int
    retry_of: str | None
    sweep: str | None
    pinned: bool
    files_expired_at: str | None
    progress: Progress
    result: Result | None
    error: JobError | None
    warnings: list[str]
    urls: dict[str, str]


AttemptOutcome = Literal["succeeded", "failed", "cancelled", "preempted", "lost"]


class Attempt(TypedDict):
    """One try of one worker; `outcome` is null while it runs."""

    attempt: int
    worker: str
    started_at: str
    heartbeat_at: str
    ended_at: str | None
    outcome: AttemptOutcome | None
    error: JobError | None


class Log(TypedDict):
    """The end of what one attempt's trainer printed, and how many bytes it printed in all."""

    attempt: int
    text: str
    printed: int
    updated_at: str


class Event(TypedDict):
    """One entry of a job's history; `seq` counts from 1 without gaps."""

    seq: int
    type: str
    at: str
    attempt: int | None
    data: dict[str, object]


class Layer(TypedDict):
    """One pruned matrix: how many of its weights were kept."""

    name: str
    shape: list[int]
    kept: int
    total: int
    density: float


class Artifact(TypedDict):
    """A file a job left behind."""

    name: str
    kind: str
    size: int
    sha256: str
    media_type: str
    url: str


SweepStatus = Literal["queued", "running", "paused", "succeeded", "failed", "cancelled"]


class Run(TypedDict):
    """One job of a sweep, and the point of the grid that it is."""

    job: str
    point: dict[str, object]
    status: JobStatus
    quality: float | None
    relative: float | None
    density: float | None
    url: str


class Spread(TypedDict):
    """A mean over seeds, and the sample standard deviation where there are two or more."""

    n: int
    mean: float
    sd: float | None


class Row(TypedDict):
    """All seeds of one setting; `pareto` says against what no other setting beats it."""

    point: dict[str, object]
    runs: int
    succeeded: int
    primary_metric: str | None
    eval: dict[str, Spread]
    dense_eval: dict[str, Spread]
    density: Spread | None
    bytes: Spread | None
    pareto: list[Literal["density", "bytes"]]


class SweepSummary(TypedDict):
    """A sweep, in short."""

    id: str
    name: str | None
    status: SweepStatus
    created_at: str
    grid: dict[str, list[object]]
    jobs_by_status: dict[JobStatus, int]
    urls: dict[str, str]


class SweepAdvice(TypedDict):
    """What was said at submit of some of a sweep's jobs."""

    warning: str
    jobs: list[str]


class Sweep(SweepSummary):
    """A sweep with its jobs and what they show together."""

    base: dict[str, object]
    warnings: list[SweepAdvice]
    runs: list[Run]
    table: list[Row]


class Compared(TypedDict):
    """What one of several jobs achieved."""

    job: str
    name: str | None
    status: JobStatus
    primary_metric: str | None
    quality: float | None
    relative: float | None
    eval: dict[str, float]
    dense_eval: dict[str, float]
    density: dict[str, float]
    bytes: dict[str, float]
    runtime_s: float
    url: str


class Comparison(TypedDict):
    """Jobs side by side; `differences` has a value for each of them, by field of the spec."""

    differences: dict[str, list[object]]
    jobs: list[Compared]


class Used(TypedDict):
    """What was used in some time."""

    jobs: dict[Literal["submitted", "succeeded", "failed", "cancelled"], int]
    trainer_s: float
    gpu_s: float
    steps: int


class UsedOnDay(Used):
    """What was used on one day."""

    day: str


class Stored(TypedDict):
    """Bytes of the team's files."""

    unique: int
    referenced: dict[str, int]


#: A team's use of the service; `from` and `to` are its first and last day.
Usage = TypedDict(
    "Usage",
    {
        "from": str,
        "to": str,
        "total": Used,
        "days": list[UsedOnDay],
        "jobs_by_status": dict[JobStatus, int],
        "stored": Stored,
    },
)


class AuditEntry(TypedDict):
    """One call that could change something; `key_id` is null for what was done on the host, beside the service."""

    id: str
    at: str
    key_id: str | None
    method: str
    route: str
    target_id: str | None
    status: int
    request_id: str | None


class Validation(TypedDict):
    """A job that would be accepted: its resolved spec, and what it would take."""

    spec: dict[str, object]
    total_steps: int
    schedule: dict[str, object]
    memory: dict[str, int]
    warnings: list[str]


class Split(TypedDict):
    """One split of a dataset."""

    name: str
    rows: int
    size: int
    sha256: str


class Column(TypedDict):
    """One column of a dataset; the counts are by split."""

    name: str
    type: str
    nulls: dict[str, int]
    distinct: dict[str, int]


class Label(TypedDict):
    """A label and how often it occurs."""

    value: str | int | bool
    rows: int


class Dataset(TypedDict):
    """An uploaded dataset, normalised; its `uri` names it in a spec."""

    id: str
    uri: str
    name: str
    source: str | None
    format: str
    columns: list[Column]
    splits: list[Split]
    rows: int
    size: int
    labels: dict[str, list[Label]]
    preview: list[dict[str, object]]
    created_at: str
    url: str


class ModelFile(TypedDict):
    """One file of a model."""

    path: str
    size: int
    sha256: str


class Model(TypedDict):
    """An uploaded model; its `uri` names it in a spec."""

    id: str
    uri: str
    name: str
    source: str | None
    model_type: str
    parameters: int
    prunable_parameters: int
    prunable_matrices: dict[str, list[int]]
    max_length: int | None
    size: int
    files: list[ModelFile]
    created_at: str
    url: str


class Method(TypedDict):
    """A pruning method and the parameters of its own."""

    name: str
    summary: str
    source: str
    order: int
    learns_scores: bool
    scopes: list[str]
    granularities: list[object]
    schedule_shapes: list[str]
    default_schedule_shape: str | None
    default_epochs: float
    works_untrained: bool
    parameters: dict[str, dict[str, object]]


KeyScope = Literal["read", "submit", "admin"]


class Key(TypedDict):
    """An API key, without its secret; `last_used_at` is true to about a minute."""

    id: str
    name: str
    scopes: list[KeyScope]
    created_at: str
    expires_at: str | None
    last_used_at: str | None
    revoked_at: str | None
    replaced_by: str | None
    url: str


class NewKey(Key):
    """A key that was just made; `key` is what to send, and is not kept."""

    key: str


class Checks(TypedDict):
    """What the service found when it looked at its parts; `workers` is null while the broker is away."""

    database: Literal["ok", "away", "behind"]
    broker: Literal["ok", "away"]
    workers: int | None


class Health(TypedDict):
    """Whether the service takes requests (`ready`, `degraded`) and would run jobs now (`ready`)."""

    status: Literal["ready", "degraded", "unavailable"]
    checks: Checks


#: For each metric name its points `[step, value, time]`, oldest first; a value that was not finite is null.
Series = dict[str, list[tuple[int, float | None, str]]]
