"""Reads Parquet files of plain columns."""

from collections.abc import Callable
from typing import BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet as pq
from pyarrow import types

from api.datasets.formats.malformed import Malformed
from api.datasets.formats.names import require_good_names

#: Which types become which; everything else is refused.
_KINDS: list[tuple[Callable[[pa.DataType], bool], pa.DataType]] = [
    (types.is_boolean, pa.bool_()),
    (types.is_integer, pa.int64()),
    (types.is_floating, pa.float64()),
    (types.is_string, pa.string()),
    (types.is_large_string, pa.string()),
    (types.is_null, pa.string()),
]


def read_parquet(stream: BinaryIO, max_bytes: int) -> pa.Table:
    """Read a Parquet file, a row group at a time: what it grows to is not known before.

    Raises:
        Malformed: It is not Parquet, has other than plain columns, or grows beyond `max_bytes`.
    """
    try:
        file = pq.ParquetFile(stream)
        schema = _plain_schema(file.schema_arrow)
        groups = [file.metadata.row_group(number) for number in range(file.metadata.num_row_groups)]
        _require_within(max_bytes, sum(group.total_byte_size for group in groups))
        # Texts stay indices into a dictionary until it is known what they come to: 300 bytes can hold a text of a
        # megabyte and a million rows of it.
        texts = [field.name for field in schema if types.is_string(field.type)]
        file = pq.ParquetFile(stream, read_dictionary=texts)
        batches = []
        size = 0
        for batch in file.iter_batches(batch_size=16_384):
            _require_within(max_bytes, size + sum(_written_out(column) for column in batch.columns))
            table = pa.Table.from_batches([batch]).replace_schema_metadata().cast(schema)
            table.validate(full=True)
            size += table.nbytes
            _require_within(max_bytes, size)
            batches.append(table)
    except UnicodeDecodeError as error:
        raise Malformed("a name that is not UTF-8. Write the file again, for example with pyarrow.") from error
    except (pa.ArrowException, OSError) as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        raise Malformed(f"not a readable Parquet file: {reason}. Write it again, for example with pyarrow.") from error
    if not size or not batches:
        raise Malformed("no rows.")
    return pa.concat_tables(batches)


def _require_within(max_bytes: int, size: int) -> None:
    if size > max_bytes:
        raise Malformed(f"grows beyond {max_bytes:,} bytes when unpacked. Upload fewer rows.")


def _written_out(column: pa.Array) -> int:
    """Bytes of the texts that a column of indices stands for; 0 for any other column."""
    if not types.is_dictionary(column.type) or not (
        types.is_string(column.type.value_type) or types.is_large_string(column.type.value_type)
    ):
        return 0
    lengths = pc.binary_length(column.dictionary).cast(pa.int64())
    return int(pc.sum(lengths.take(column.indices)).as_py() or 0)


def _plain_schema(schema: pa.Schema) -> pa.Schema:
    require_good_names(schema.names)
    return pa.schema([(field.name, _plain_type(field)) for field in schema])


def _plain_type(field: pa.Field) -> pa.DataType:
    stored = field.type.value_type if types.is_dictionary(field.type) else field.type
    for matches, plain in _KINDS:
        if matches(stored):
            return plain
    raise Malformed(
        f"column {field.name!r} is of type {field.type}. Use plain columns (text, numbers, true or false): "
        "convert it or leave it out."
    )
