"""What is known of a column without reading the data again: its type, and by split its nulls and values."""

from typing import cast

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field

from api.datasets.formats.squad import ANSWERS
from store import JsonObject

#: More different values than this are not labels; their number is kept, the values are not.
MAX_VALUES = 1000

#: A longer text is no label's name.
_MAX_VALUE_LENGTH = 256

Value = bool | int | str

_TYPE_NAMES = {
    pa.string(): "string",
    pa.int64(): "int64",
    pa.float64(): "float64",
    pa.bool_(): "bool",
    ANSWERS: "answers",
}


class ColumnInSplit(BaseModel):
    """A column's content in one split."""

    model_config = ConfigDict(frozen=True)

    nulls: int = Field(description="Rows without a value.")
    first_null_row: int | None = Field(description="The first of them, counted from 1 without the header.")
    distinct: int = Field(description="Different values.")
    values: list[tuple[Value, int]] | None = Field(
        description=f"Each value and its rows, where there are at most {MAX_VALUES} short ones; else null."
    )


class Column(BaseModel):
    """A column of a dataset."""

    model_config = ConfigDict(frozen=True)

    name: str
    type: str = Field(description="`string`, `int64`, `float64`, `bool`, or `answers` (of SQuAD).")
    splits: dict[str, ColumnInSplit] = Field(description="The column's content by split.")

    def document(self) -> JsonObject:
        """As it is stored with the dataset."""
        return cast(JsonObject, self.model_dump(mode="json"))


def describe(splits: dict[str, pa.Table]) -> list[Column]:
    """Describe the columns of splits that share one schema."""
    schema = next(iter(splits.values())).schema
    return [
        Column(
            name=field.name,
            type=_TYPE_NAMES[field.type],
            splits={split: _content(table[field.name]) for split, table in splits.items()},
        )
        for field in schema
    ]


def _content(column: pa.ChunkedArray) -> ColumnInSplit:
    nulls = column.null_count
    first_null = pc.index(pc.is_null(column), value=True).as_py() + 1 if nulls else None
    if pa.types.is_struct(column.type):
        return ColumnInSplit(nulls=nulls, first_null_row=first_null, distinct=len(column) - nulls, values=None)
    distinct = pc.count_distinct(column, mode="only_valid").as_py()
    return ColumnInSplit(nulls=nulls, first_null_row=first_null, distinct=distinct, values=_values(column, distinct))


def _values(column: pa.ChunkedArray, distinct: int) -> list[tuple[Value, int]] | None:
    if distinct > MAX_VALUES or pa.types.is_floating(column.type):
        return None
    counted = pc.value_counts(column.drop_null()).to_pylist()
    if any(isinstance(entry["values"], str) and len(entry["values"]) > _MAX_VALUE_LENGTH for entry in counted):
        return None
    return sorted((entry["values"], entry["counts"]) for entry in counted)
