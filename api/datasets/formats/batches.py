"""Collects rows into Arrow columns a batch at a time, so that a file never exists twice as Python objects."""

from collections.abc import Mapping, Sequence

import pyarrow as pa

#: Rows that are Python objects at one time.
ROWS = 16_384


class Batches:
    """Columns of one file as they fill up; all batches together become one table."""

    def __init__(self, names: Sequence[str], types: Mapping[str, pa.DataType] | None = None) -> None:
        self.types = dict(types) if types is not None else {name: pa.string() for name in names}
        self._chunks: list[dict[str, pa.Array]] = []

    def add(self, columns: Mapping[str, Sequence[object]]) -> None:
        """Append one batch of equally long columns."""
        self._chunks.append({name: pa.array(values) for name, values in columns.items()})

    def table(self) -> pa.Table:
        """Everything so far, cast to the columns' types."""
        columns = {
            name: pa.chunked_array([self._chunk(chunk, name, type_) for chunk in self._chunks], type=type_)
            for name, type_ in self.types.items()
        }
        return pa.table(columns)

    @staticmethod
    def _chunk(chunk: Mapping[str, pa.Array], name: str, type_: pa.DataType) -> pa.Array:
        if name not in chunk:
            return pa.nulls(len(next(iter(chunk.values()))), type_)
        return chunk[name].cast(type_)
