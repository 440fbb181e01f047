"""Jobs, who worked on them, what happened to them, and the keys that make submitting twice harmless."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from store.documents import JsonDocument, JsonObject
from store.states import AttemptOutcome, JobStatus
from store.tables.base import Base, Written, words


class Job(Base):
    """A job. `store.transitions` moves its status; nobody else writes it."""

    __tablename__ = "job"
    __table_args__ = (
        # What lists read, one for each order. None holds the status: SQLite would count a team's few active jobs in it,
        # among all that have ended.
        Index(None, "team_id", "created_at", "id"),
        Index(None, "team_id", "finished_at", "id"),
        Index(None, "team_id", "priority", "id"),
        Index(None, "team_id", "name", "id"),
        Index(None, "team_id", "quality", "id"),
        Index(None, "sweep_id", "sweep_position", "id"),
        CheckConstraint("gpus >= 1", name="gpus"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    team_id: Mapped[str] = mapped_column(ForeignKey("team.id", ondelete="RESTRICT"))
    name: Mapped[str | None]
    tags: Mapped[Mapping[str, str]] = mapped_column(JsonDocument)
    priority: Mapped[int]
    queue: Mapped[str]
    status: Mapped[JobStatus] = mapped_column(words(JobStatus, "status"))

    method: Mapped[str]
    target_sparsity: Mapped[float]
    spec: Mapped[JsonObject] = mapped_column(JsonDocument)
    warnings: Mapped[Sequence[str]] = mapped_column(JsonDocument)
    # RESTRICT: a waiting job must find its inputs; whoever deletes them decides first what becomes of their jobs
    dataset_id: Mapped[str | None] = mapped_column(ForeignKey("dataset.id", ondelete="RESTRICT"), index=True)
    model_id: Mapped[str | None] = mapped_column(ForeignKey("model.id", ondelete="RESTRICT"), index=True)

    created_at: Mapped[Written]
    updated_at: Mapped[Written]
    started_at: Mapped[datetime | None]  # of the first attempt
    finished_at: Mapped[datetime | None]
    not_before: Mapped[datetime | None]  # after a crash: when it may be tried again

    attempt: Mapped[int] = mapped_column(default=0)  # the fence: the number of the latest attempt
    crashes: Mapped[int] = mapped_column(default=0)  # attempts that were lost
    max_attempts: Mapped[int]  # how many may be lost before the job fails
    max_runtime_s: Mapped[float]  # of one attempt
    gpus: Mapped[int] = mapped_column(server_default=text("1"))  # what its worker must offer; 1: whatever is there

    version: Mapped[int] = mapped_column(default=1)  # grows with every visible change; the ETag
    event_seq: Mapped[int] = mapped_column(default=0)  # of the latest event

    step: Mapped[int] = mapped_column(default=0)
    total_steps: Mapped[int | None]
    density: Mapped[float | None]
    phase: Mapped[str | None]
    eta_s: Mapped[float | None]

    result: Mapped[JsonObject | None] = mapped_column(JsonDocument)
    error: Mapped[JsonObject | None] = mapped_column(JsonDocument)

    retry_of: Mapped[str | None]  # the id of the job that this one tries again; no reference: that one may be deleted
    steps_taken_over: Mapped[int] = mapped_column(server_default=text("0"))  # from that one's checkpoints

    sweep_id: Mapped[str | None]  # no reference, either: SQLite could not drop the column again
    sweep_position: Mapped[int | None]  # of the job's point in the sweep's grid

    quality: Mapped[float | None]  # of the pruned model: its primary metric, of which more is better
    pinned: Mapped[bool] = mapped_column(server_default=text("false"))  # store.retention leaves it alone
    files_expired_at: Mapped[datetime | None]  # when store.retention removed the files of a succeeded job


# What store.scheduling reads: few jobs wait or run, however many are done. The conditions must be spelt there as here,
# or the databases do not see that these indexes answer them. The first holds, after the order of the line, what else
# store.places tells the line from.
Index(
    "ix_job_waiting",
    Job.team_id,
    Job.queue,
    Job.priority.desc(),
    Job.created_at,
    Job.id,
    Job.not_before,
    Job.gpus,
    sqlite_where=text("status = 'queued'"),
    postgresql_where=text("status = 'queued'"),
)
Index(
    "ix_job_active",
    Job.team_id,
    sqlite_where=text("status IN ('running', 'pausing', 'cancelling')"),
    postgresql_where=text("status IN ('running', 'pausing', 'cancelling')"),
)

# What store.retention reads, with all it looks at: of the jobs that ever succeeded, those whose files are there.
Index(
    "ix_job_with_files",
    Job.team_id,
    Job.model_id,
    Job.dataset_id,
    Job.target_sparsity,
    Job.quality,
    Job.created_at,
    Job.finished_at,
    Job.pinned,
    Job.id,
    sqlite_where=text("status = 'succeeded' AND files_expired_at IS NULL"),
    postgresql_where=text("status = 'succeeded' AND files_expired_at IS NULL"),
)


class Attempt(Base):
    """One try of one worker, alive while `ended_at` is null."""

    __tablename__ = "attempt"
    __table_args__ = (
        # the database itself refuses a job that runs twice at once
        Index(
            "ux_attempt_live",
            "job_id",
            unique=True,
            sqlite_where=text("ended_at IS NULL"),
            postgresql_where=text("ended_at IS NULL"),
        ),
    )

    job_id: Mapped[str] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    worker: Mapped[str]
    started_at: Mapped[datetime]
    heartbeat_at: Mapped[datetime]
    lease_expires_at: Mapped[datetime]
    deadline_at: Mapped[datetime]  # when max_runtime_s is used up
    ended_at: Mapped[datetime | None]
    outcome: Mapped[AttemptOutcome | None] = mapped_column(words(AttemptOutcome, "outcome"))
    detail: Mapped[JsonObject | None] = mapped_column(JsonDocument)


class Event(Base):
    """Something that happened to a job; `seq` counts from 1 without gaps."""

    __tablename__ = "event"

    job_id: Mapped[str] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"), primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True)
    type: Mapped[str]
    at: Mapped[Written]
    attempt: Mapped[int | None]
    data: Mapped[JsonObject] = mapped_column(JsonDocument)


class IdempotencyKey(Base):
    """The first answer to a key of a team, kept for a day."""

    __tablename__ = "idempotency_key"

    team_id: Mapped[str] = mapped_column(ForeignKey("team.id", ondelete="CASCADE"), primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    body_sha256: Mapped[str]
    # checked at commit: the key is taken before the job it names is written, so that of two equal requests one waits
    job_id: Mapped[str] = mapped_column(
        ForeignKey("job.id", ondelete="CASCADE", deferrable=True, initially="DEFERRED"), index=True
    )
    created_at: Mapped[Written]
