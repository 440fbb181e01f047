"""One reader per upload format; each turns a file into an Arrow table or says which line is wrong."""

from collections.abc import Callable
from typing import BinaryIO

import pyarrow as pa

from api.datasets.formats.delimited import read_csv, read_tsv
from api.datasets.formats.jsonl import read_jsonl
from api.datasets.formats.parquet import read_parquet
from api.datasets.formats.squad import read_squad

Reader = Callable[[BinaryIO, int], pa.Table]
"""Takes the file and the largest size in bytes that its data may grow to in memory."""

#: By file name extension: what the format is called, and who reads it.
FORMATS: dict[str, tuple[str, Reader]] = {
    "csv": ("csv", read_csv),
    "tsv": ("tsv", read_tsv),
    "jsonl": ("jsonl", read_jsonl),
    "ndjson": ("jsonl", read_jsonl),
    "parquet": ("parquet", read_parquet),
    "json": ("squad", read_squad),
}

#: Formats whose cells are all text at first, so that their types are inferred.
UNTYPED = frozenset({"csv", "tsv"})
