"""What is known of a column without reading the data again: its type, and by split its nulls and values."""

from typing import cast

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field

from api.datasets.formats.nested import ANSWERS, INTEGERS, TEXTS
from api.datasets.unlike import unlike
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
    TEXTS: "list<string>",
    INTEGERS: "list<int64>",
    ANSWERS: "answers",
}


class ColumnInSplit(BaseModel):
    """A column's content in one split."""

    model_config = ConfigDict(frozen=True)

    nulls: int = Field(
        description="Rows without a value: null, an empty list, no answer, or a number that is not finite."
    )
    first_null_row: int | None = Field(description="The first of them, counted from 1 without the header.")
    distinct: int = Field(description="Different values; of lists, different values in them.")
    values: list[tuple[Value, int]] | None = Field(
        description=f"Each value and how often it occurs, where there are at most {MAX_VALUES} short ones; else null."
    )
    largest: float | None = Field(default=None, description="Of numbers, the largest without its sign.")
    unlike: dict[str, int] = Field(
        default={},
        description="Columns that do not go with this one, and the first row, counted from 1, where they do not: lists "
        "of another length, and texts that hold none of a row's answers.",
    )


class Column(BaseModel):
    """A column of a dataset."""

    model_config = ConfigDict(frozen=True)

    name: str
    type: str = Field(
        description="`string`, `int64`, `float64`, `bool`, `list<string>`, `list<int64>`, or `answers` (of SQuAD)."
    )
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
            splits={
                split: _content(table[field.name]).model_copy(update={"unlike": unlike(table, field.name)})
                for split, table in splits.items()
            },
        )
        for field in schema
    ]


def _content(column: pa.ChunkedArray) -> ColumnInSplit:
    missing = _missing(column)
    nulls = pc.sum(missing).as_py() or 0
    first_null = pc.index(missing, value=True).as_py() + 1 if nulls else None
    if pa.types.is_struct(column.type):
        return ColumnInSplit(nulls=nulls, first_null_row=first_null, distinct=len(column) - nulls, values=None)
    if pa.types.is_list(column.type):
        column = pc.list_flatten(column)
    distinct = pc.count_distinct(column, mode="only_valid").as_py()
    values = _values(column, distinct)
    return ColumnInSplit(
        nulls=nulls, first_null_row=first_null, distinct=distinct, values=values, largest=_largest(column)
    )


def _largest(column: pa.ChunkedArray) -> float | None:
    if not (pa.types.is_floating(column.type) or pa.types.is_integer(column.type)):
        return None
    ends = pc.min_max(column.filter(pc.is_finite(column))).as_py()
    return None if ends["min"] is None else float(max(abs(ends["min"]), abs(ends["max"])))


def _missing(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Of each row whether it has nothing that a job could use."""
    if pa.types.is_floating(column.type):
        return pc.invert(pc.fill_null(pc.is_finite(column), fill_value=False))
    if pa.types.is_struct(column.type):
        column = pc.struct_field(column, "text")
    if pa.types.is_list(column.type):
        return pc.equal(pc.fill_null(pc.list_value_length(column), 0), 0)
    return pc.is_null(column)


def _values(column: pa.ChunkedArray, distinct: int) -> list[tuple[Value, int]] | None:
    if distinct > MAX_VALUES or pa.types.is_floating(column.type):
        return None
    counted = pc.value_counts(column.drop_null()).to_pylist()
    if any(isinstance(entry["values"], str) and len(entry["values"]) > _MAX_VALUE_LENGTH for entry in counted):
        return None
    return sorted((entry["values"], entry["counts"]) for entry in counted)
