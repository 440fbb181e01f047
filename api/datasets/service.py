"""Takes datasets in: check, convert to Parquet, store."""

import tempfile
from collections.abc import Iterator

import pyarrow as pa
from pyarrow import parquet as pq

from api.datasets.ingest import ingest
from api.dependencies import Services
from api.multipart import Form
from api.pieces import pieces
from store import BlobRef, BlobStore, Dataset, NewSplit, Principal, insert_dataset

#: The worker reads by row group, so that is what it holds in memory.
_ROW_GROUP = 65_536

_IN_MEMORY = 8 << 20


def take_in(here: Services, caller: Principal, form: Form, *, source: str | None = None) -> Dataset:
    """Store an upload, or refuse it whole: until every split has passed, nothing is written.

    Raises:
        Invalid: Something is wrong with it.
    """
    found = ingest(form, here.settings.max_dataset_bytes)
    splits = [NewSplit(split, table.num_rows, _store(here.blobs, table)) for split, table in found.splits.items()]
    with here.database.write() as session:
        return insert_dataset(
            session,
            caller.team_id,
            name=form.name,
            source=source,
            format=found.format,
            columns=[column.document() for column in found.columns],
            preview=found.preview,
            splits=splits,
        )


def _store(blobs: BlobStore, table: pa.Table) -> BlobRef:
    return blobs.write(_as_parquet(table))


def _as_parquet(table: pa.Table) -> Iterator[bytes]:
    with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as file:
        pq.write_table(table, file, compression="zstd", row_group_size=_ROW_GROUP)
        file.seek(0)
        yield from pieces(file)
