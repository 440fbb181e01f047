"""Reads CSV and TSV as tables of text; empty cells are null. RFC 4180 quotes, also with line breaks inside.

The strict reader of the standard library, not pyarrow's: that one takes an unclosed quote for a cell which reaches
to the next quote, and so swallows rows without a word.
"""

import csv
import io
from collections.abc import Iterator, Sequence
from typing import BinaryIO

import pyarrow as pa

from api.datasets.formats import batches
from api.datasets.formats.encoding import require_utf8
from api.datasets.formats.malformed import Malformed
from api.datasets.formats.names import require_good_names

_MAX_CELL = 16 << 20


def read_csv(stream: BinaryIO, max_bytes: int) -> pa.Table:
    """Read comma-separated values."""
    return _read(stream, ",")


def read_tsv(stream: BinaryIO, max_bytes: int) -> pa.Table:
    """Read tab-separated values."""
    return _read(stream, "\t")


def _read(stream: BinaryIO, delimiter: str) -> pa.Table:
    require_utf8(stream)
    text = io.TextIOWrapper(stream, encoding="utf-8", newline="")
    try:
        return _table(_rows(text, delimiter), delimiter)
    finally:
        text.detach()  # the wrapper would close the upload's file with itself


def _table(rows: Iterator[tuple[int, list[str]]], delimiter: str) -> pa.Table:
    _, names = next(rows, (1, []))
    require_good_names(names, line=1, hint=_delimiter_hint(names, delimiter))
    found = batches.Batches(names)
    batch: list[list[str]] = []
    for line, row in rows:
        if len(row) != len(names):
            raise Malformed(
                f"{len(row)} cells where the header has {len(names)}. Put quotes around cells that hold a "
                f"{'comma' if delimiter == ',' else 'tab'} or a line break.",
                line=line,
            )
        batch.append(row)
        if len(batch) == batches.ROWS:
            found.add(_columns(names, batch))
            batch = []
    if batch:
        found.add(_columns(names, batch))
    table = found.table()
    if table.num_rows == 0:
        raise Malformed("only a header and no rows.")
    return table


def _columns(names: Sequence[str], rows: list[list[str]]) -> dict[str, list[str | None]]:
    return {name: [cell or None for cell in cells] for name, cells in zip(names, zip(*rows, strict=True), strict=True)}


def _rows(text: io.TextIOWrapper, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Every row that is not blank, with the line it starts in."""
    csv.field_size_limit(_MAX_CELL)
    reader = csv.reader(text, delimiter=delimiter, strict=True)
    while True:
        line = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise Malformed(_in_words(error), line=line) from error
        if row:
            yield line, row


def _in_words(error: csv.Error) -> str:
    words = str(error)
    if "field larger" in words:
        return f"a cell of more than {_MAX_CELL:,} characters. Is a quote never closed?"
    return 'a quote out of place or never closed. Double the quotes inside a quoted cell: "he said ""no""".'


def _delimiter_hint(names: Sequence[str], delimiter: str) -> str:
    """What to say about a header of one name that looks like several."""
    if len(names) == 1:
        for other, word in ((",", "commas"), ("\t", "tabs"), (";", "semicolons")):
            if other != delimiter and other in names[0]:
                remedy = (
                    "name the file .tsv" if other == "\t" else "name the file .csv" if other == "," else "use commas"
                )
                return f"the cells seem to be divided by {word}; {remedy}."
    return ""
