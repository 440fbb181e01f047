"""What the API and the workers share: tables, the job's states, leases, files and settings."""

from store.artifacts import NewArtifact, get_artifact, list_artifacts
from store.audit import Call, list_audit, record_call
from store.blobs import BlobRef, BlobStore, DatabaseBlobStore
from store.checkpoints import checkpoints_of, discard_checkpoint, publish_checkpoint
from store.claims import Claim, claim_next
from store.datasets import NewSplit, get_dataset, insert_dataset, list_datasets
from store.deletions import delete_dataset, delete_job, delete_model
from store.documents import JsonObject, JsonValue
from store.endings import (
    JobError,
    finish_cancelled,
    finish_failed,
    finish_succeeded,
    release_crashed,
    release_preempted,
    release_starved,
)
from store.engine import DATABASE_AWAY, Database, ReadSession, WriteSession, open_database
from store.errors import (
    BlobAbandoned,
    BlobCorrupt,
    BlobError,
    FenceLost,
    FilesExpired,
    IdempotencyConflict,
    InputGone,
    InUse,
    InvalidCursor,
    KeyOver,
    NotFound,
    QueueFull,
    StoreError,
    TransitionRefused,
)
from store.events import add_event, events_after
from store.fences import Fence
from store.following import changes_of, versions_of
from store.forecasts import Place, place_of
from store.jobs import attempts_of, get_job, list_jobs
from store.key_text import hide_keys
from store.keys import (
    Principal,
    Scope,
    authenticate,
    create_key,
    ensure_team,
    get_key,
    list_keys,
    live_keys,
    note_use,
    revoke_key,
    rotate_key,
)
from store.leases import LeaseAnswer, peek, renew
from store.logs import keep_log, logs_of
from store.masks import NewLayer, layers_of
from store.models import NewFile, get_model, insert_model, list_models
from store.pages import Page, Sort
from store.progress import MetricPoint, metrics_of, record_progress
from store.recovery import ExpiredAttempt, requeue_expired
from store.requests import pin_job, request_cancel, request_pause, request_resume, retry_job
from store.retention import expire_checkpoints, expire_files, jobs_past_keeping, jobs_past_retry
from store.scheduling import queues_with_work
from store.settings import Settings
from store.states import ACTIVE, ALLOWED, TERMINAL, AttemptOutcome, JobStatus
from store.submission import NewJob, Submitted, create_job
from store.tables import (
    Artifact,
    Attempt,
    AttemptLog,
    AuditEntry,
    Checkpoint,
    Dataset,
    DatasetSplit,
    Event,
    Job,
    Key,
    MaskLayer,
    Metric,
    Model,
    ModelFile,
    Team,
)
from store.workers import announce_worker, most_gpus_offered

__all__ = [
    "ACTIVE",
    "ALLOWED",
    "DATABASE_AWAY",
    "TERMINAL",
    "Artifact",
    "Attempt",
    "AttemptLog",
    "AttemptOutcome",
    "AuditEntry",
    "BlobAbandoned",
    "BlobCorrupt",
    "BlobError",
    "BlobRef",
    "BlobStore",
    "Call",
    "Checkpoint",
    "Claim",
    "Database",
    "DatabaseBlobStore",
    "Dataset",
    "DatasetSplit",
    "Event",
    "ExpiredAttempt",
    "Fence",
    "FenceLost",
    "FilesExpired",
    "IdempotencyConflict",
    "InUse",
    "InputGone",
    "InvalidCursor",
    "Job",
    "JobError",
    "JobStatus",
    "JsonObject",
    "JsonValue",
    "Key",
    "KeyOver",
    "LeaseAnswer",
    "MaskLayer",
    "Metric",
    "MetricPoint",
    "Model",
    "ModelFile",
    "NewArtifact",
    "NewFile",
    "NewJob",
    "NewLayer",
    "NewSplit",
    "NotFound",
    "Page",
    "Place",
    "Principal",
    "QueueFull",
    "ReadSession",
    "Scope",
    "Settings",
    "Sort",
    "StoreError",
    "Submitted",
    "Team",
    "TransitionRefused",
    "WriteSession",
    "add_event",
    "announce_worker",
    "attempts_of",
    "authenticate",
    "changes_of",
    "checkpoints_of",
    "claim_next",
    "create_job",
    "create_key",
    "delete_dataset",
    "delete_job",
    "delete_model",
    "discard_checkpoint",
    "ensure_team",
    "events_after",
    "expire_checkpoints",
    "expire_files",
    "finish_cancelled",
    "finish_failed",
    "finish_succeeded",
    "get_artifact",
    "get_dataset",
    "get_job",
    "get_key",
    "get_model",
    "hide_keys",
    "insert_dataset",
    "insert_model",
    "jobs_past_keeping",
    "jobs_past_retry",
    "keep_log",
    "layers_of",
    "list_artifacts",
    "list_audit",
    "list_datasets",
    "list_jobs",
    "list_keys",
    "list_models",
    "live_keys",
    "logs_of",
    "metrics_of",
    "most_gpus_offered",
    "note_use",
    "open_database",
    "peek",
    "pin_job",
    "place_of",
    "publish_checkpoint",
    "queues_with_work",
    "record_call",
    "record_progress",
    "release_crashed",
    "release_preempted",
    "release_starved",
    "renew",
    "request_cancel",
    "request_pause",
    "request_resume",
    "requeue_expired",
    "retry_job",
    "revoke_key",
    "rotate_key",
    "versions_of",
]
