"""The tables, as SQLAlchemy classes."""

from store.tables.audit import AuditEntry
from store.tables.base import Base
from store.tables.blobs import Blob, BlobChunk
from store.tables.inputs import Dataset, DatasetSplit, Model, ModelFile
from store.tables.jobs import Attempt, Event, IdempotencyKey, Job
from store.tables.outputs import Artifact, AttemptLog, Checkpoint, MaskLayer, Metric
from store.tables.sweeps import Sweep
from store.tables.tenants import Key, Team
from store.tables.uploads import Upload
from store.tables.webhooks import Delivery, DeliveryTry, Webhook, WebhookSecret
from store.tables.workers import Worker

__all__ = [
    "Artifact",
    "Attempt",
    "AttemptLog",
    "AuditEntry",
    "Base",
    "Blob",
    "BlobChunk",
    "Checkpoint",
    "Dataset",
    "DatasetSplit",
    "Delivery",
    "DeliveryTry",
    "Event",
    "IdempotencyKey",
    "Job",
    "Key",
    "MaskLayer",
    "Metric",
    "Model",
    "ModelFile",
    "Sweep",
    "Team",
    "Upload",
    "Webhook",
    "WebhookSecret",
    "Worker",
]
