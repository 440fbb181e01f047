"""What a job leaves behind: measurements, the kept share of each layer, files; and what it may go on from."""

from collections.abc import Sequence

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from store.documents import JsonDocument
from store.tables.base import Base, Size, Written


class Metric(Base):
    """One measured value of one series; null where the trainer measured NaN or infinity."""

    __tablename__ = "metric"

    job_id: Mapped[str] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    step: Mapped[int] = mapped_column(primary_key=True)
    value: Mapped[float | None]
    at: Mapped[Written]
    attempt: Mapped[int]


class MaskLayer(Base):
    """How much of one pruned layer was kept."""

    __tablename__ = "mask_layer"

    job_id: Mapped[str] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    shape: Mapped[Sequence[int]] = mapped_column(JsonDocument)
    kept: Mapped[Size]
    total: Mapped[Size]


class Artifact(Base):
    """A file that a job produced."""

    __tablename__ = "artifact"

    job_id: Mapped[str] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    media_type: Mapped[str]
    size: Mapped[Size]
    sha256: Mapped[str]
    blob_id: Mapped[str] = mapped_column(ForeignKey("blob.id", ondelete="RESTRICT"), index=True)
    attempt: Mapped[int]
    created_at: Mapped[Written]


class Checkpoint(Base):
    """A state that training can go on from; `number` counts from 1 over all attempts of the job."""

    __tablename__ = "checkpoint"

    job_id: Mapped[str] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    attempt: Mapped[int]
    step: Mapped[int]  # optimizer steps done, as `Job.step` counts them
    size: Mapped[Size]
    blob_id: Mapped[str] = mapped_column(ForeignKey("blob.id", ondelete="RESTRICT"), index=True)
    created_at: Mapped[Written]


class AttemptLog(Base):
    """The end of what an attempt's trainer printed."""

    __tablename__ = "attempt_log"

    job_id: Mapped[str] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"), primary_key=True)
    attempt: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str]
    printed: Mapped[Size]  # bytes printed in all, of which `text` is the end
    updated_at: Mapped[Written]
