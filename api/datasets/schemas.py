"""Datasets as the outside sees them."""

from datetime import datetime

from pydantic import BaseModel, Field

from api.datasets.columns import Column, Value
from api.datasets.labels import candidates
from store import Dataset


class SplitView(BaseModel):
    """One split."""

    name: str
    rows: int
    size: int = Field(description="Bytes of the stored Parquet file.")
    sha256: str = Field(description="Of the stored Parquet file.")


class ColumnView(BaseModel):
    """One column."""

    name: str
    type: str = Field(
        description="`string`, `int64`, `float64`, `bool`, `list<string>`, `list<int64>`, or `answers` (of SQuAD)."
    )
    nulls: dict[str, int] = Field(
        description="Rows without a value, by split: null, an empty list, no answer, or a number that is not finite."
    )
    distinct: dict[str, int] = Field(description="Different values, by split; of lists, different values in them.")


class LabelView(BaseModel):
    """A label and how often it occurs."""

    value: Value
    rows: int = Field(description="Rows with it; of tags, words.")


class DatasetView(BaseModel):
    """An uploaded dataset."""

    id: str
    uri: str = Field(description="What to give a job as `dataset`.")
    name: str
    source: str | None = Field(
        description="Where it was taken in from, with commit or sha256, for a job that named it there; null: uploaded."
    )
    format: str = Field(description="Of the upload; it is stored as Parquet.")
    columns: list[ColumnView]
    splits: list[SplitView]
    rows: int
    size: int
    labels: dict[str, list[LabelView]] = Field(description="Columns that may hold labels or tags, with those in them.")
    preview: list[dict[str, object]] = Field(description="The first rows of the first split; long texts are cut.")
    created_at: datetime
    url: str


def dataset_view(dataset: Dataset) -> DatasetView:
    """Show a dataset."""
    columns = [Column.model_validate(column) for column in dataset.columns]
    rows = sum(split.rows for split in dataset.splits)
    return DatasetView(
        id=dataset.id,
        uri=f"upload://{dataset.id}",
        name=dataset.name,
        source=dataset.source,
        format=dataset.format,
        columns=[
            ColumnView(
                name=column.name,
                type=column.type,
                nulls={split: content.nulls for split, content in column.splits.items()},
                distinct={split: content.distinct for split, content in column.splits.items()},
            )
            for column in columns
        ],
        splits=[
            SplitView(name=split.split, rows=split.rows, size=split.size, sha256=split.sha256)
            for split in dataset.splits
        ],
        rows=rows,
        size=sum(split.size for split in dataset.splits),
        labels={
            name: [LabelView(value=value, rows=count) for value, count in sorted(values.items())]
            for name, values in candidates(columns, rows).items()
        },
        preview=[dict(row) for row in dataset.preview],
        created_at=dataset.created_at,
        url=f"/v1/datasets/{dataset.id}",
    )
