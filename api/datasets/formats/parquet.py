"""Reads Parquet files of plain columns, of lists of texts or whole numbers, and of answers."""

from collections.abc import Callable, Iterator
from typing import BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet as pq
from pyarrow import types

from api.datasets.formats import nested
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
        Malformed: It is not Parquet, has columns of other types, or grows beyond `max_bytes`.
    """
    try:
        file = pq.ParquetFile(stream)
        schema = _plain_schema(file.schema_arrow)
        groups = [file.metadata.row_group(number) for number in range(file.metadata.num_row_groups)]
        _require_within(max_bytes, sum(group.total_byte_size for group in groups))
        # Texts stay indices into a dictionary until it is known what they come to: 300 bytes can hold a text of a
        # megabyte and a million rows of it.
        leaves = [file.schema.column(number) for number in range(len(file.schema))]
        texts = [leaf.path for leaf in leaves if leaf.physical_type == "BYTE_ARRAY"]
        file = pq.ParquetFile(stream, read_dictionary=texts)
        batches = []
        size = 0
        for batch in _batches(file):
            _require_within(max_bytes, size + sum(_written_out(column) for column in batch.columns))
            whole = pa.Table.from_batches([batch])
            table = pa.table([nested.plain(whole[field.name], field.type) for field in schema], schema=schema)
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
    table = pa.concat_tables(batches)
    for field in schema:
        if types.is_nested(field.type):
            nested.require_whole(field.name, table[field.name])
    return table


def _batches(file: pq.ParquetFile) -> Iterator[pa.RecordBatch]:
    """Some rows at a time, never of two row groups: Arrow cannot join the dictionaries of lists."""
    for number in range(file.metadata.num_row_groups):
        yield from file.iter_batches(batch_size=16_384, row_groups=[number])


def _require_within(max_bytes: int, size: int) -> None:
    if size > max_bytes:
        raise Malformed(f"grows beyond {max_bytes:,} bytes when unpacked. Upload fewer rows.")


def _written_out(column: pa.Array) -> int:
    """Bytes of the texts that the indices in a column stand for; 0 where there are none."""
    if types.is_struct(column.type):
        return sum(_written_out(part) for part in column.flatten())
    if types.is_list(column.type) or types.is_large_list(column.type) or types.is_fixed_size_list(column.type):
        return _written_out(column.flatten())
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
    if plain := nested.plain_type(stored):
        return plain
    raise Malformed(
        f"column {field.name!r} is of type {field.type}. Use plain columns (text, numbers, true or false), lists of "
        "texts or whole numbers, or answers as SQuAD has them: convert it or leave it out."
    )
