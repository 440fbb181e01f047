"""What a job leaves behind: measurements, the kept share of each layer, files."""

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
