"""What teams upload: datasets by split, models by file."""

from collections.abc import Sequence

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column, relationship

from store.documents import JsonDocument, JsonObject
from store.tables.base import Base, Size, Written


class Dataset(Base):
    """An uploaded dataset, validated and normalised to Parquet."""

    __tablename__ = "dataset"
    __table_args__ = (Index(None, "team_id", "created_at", "id"), Index(None, "team_id", "source", unique=True))

    id: Mapped[str] = mapped_column(primary_key=True)
    team_id: Mapped[str] = mapped_column(ForeignKey("team.id", ondelete="RESTRICT"))
    name: Mapped[str]
    source: Mapped[str | None]  # where it was taken in from: hf://…@commit or file://…#sha256=…; null: uploaded
    format: Mapped[str]  # of the upload, before it became Parquet
    columns: Mapped[Sequence[JsonObject]] = mapped_column(JsonDocument)
    preview: Mapped[Sequence[JsonObject]] = mapped_column(JsonDocument)
    created_at: Mapped[Written]

    splits: Mapped[list["DatasetSplit"]] = relationship(
        lazy="selectin", order_by="DatasetSplit.position", passive_deletes=True
    )


class DatasetSplit(Base):
    """One split of a dataset: a Parquet file."""

    __tablename__ = "dataset_split"

    dataset_id: Mapped[str] = mapped_column(ForeignKey("dataset.id", ondelete="CASCADE"), primary_key=True)
    split: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[int]
    rows: Mapped[Size]
    size: Mapped[Size]
    sha256: Mapped[str]
    blob_id: Mapped[str] = mapped_column(ForeignKey("blob.id", ondelete="RESTRICT"), index=True)


class Model(Base):
    """An uploaded model: the files of a Hugging Face directory."""

    __tablename__ = "model"
    __table_args__ = (Index(None, "team_id", "created_at", "id"), Index(None, "team_id", "source", unique=True))

    id: Mapped[str] = mapped_column(primary_key=True)
    team_id: Mapped[str] = mapped_column(ForeignKey("team.id", ondelete="RESTRICT"))
    name: Mapped[str]
    source: Mapped[str | None]  # where it was taken in from: hf://…@commit or file://…#sha256=…; null: uploaded
    model_type: Mapped[str]
    config: Mapped[JsonObject] = mapped_column(JsonDocument)
    tensors: Mapped[JsonObject] = mapped_column(JsonDocument)
    parameters: Mapped[Size]
    size: Mapped[Size]
    created_at: Mapped[Written]

    files: Mapped[list["ModelFile"]] = relationship(lazy="selectin", order_by="ModelFile.path", passive_deletes=True)


class ModelFile(Base):
    """One file of a model's directory."""

    __tablename__ = "model_file"

    model_id: Mapped[str] = mapped_column(ForeignKey("model.id", ondelete="CASCADE"), primary_key=True)
    path: Mapped[str] = mapped_column(primary_key=True)
    size: Mapped[Size]
    sha256: Mapped[str]
    blob_id: Mapped[str] = mapped_column(ForeignKey("blob.id", ondelete="RESTRICT"), index=True)
