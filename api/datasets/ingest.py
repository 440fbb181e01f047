"""Turns an upload into validated tables, or says everything that is wrong with it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import cast

import pyarrow as pa
import pyarrow.compute as pc

from api.datasets import types
from api.datasets.agreement import require_agreement
from api.datasets.columns import Column, describe
from api.datasets.formats import FORMATS, UNTYPED
from api.datasets.formats.malformed import Malformed
from api.multipart import FilePart, Form
from api.problems import FieldError, Invalid, pointer
from store import JsonObject, JsonValue

MAX_SPLITS = 32
PREVIEW_ROWS = 5

#: How much larger than the largest upload its data may be in memory: Parquet is compressed.
_GROWTH = 4

_PREVIEW_CHARACTERS = 300
_PREVIEW_ITEMS = 50
_SPLIT_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True)
class Ingested:
    """A dataset that passed: its format, columns, first rows, and one table per split."""

    format: str
    columns: list[Column]
    preview: list[JsonObject]
    splits: dict[str, pa.Table]


def ingest(form: Form, max_bytes: int) -> Ingested:
    """Read and check an upload whole.

    Args:
        form: one file per split; the form field names the split.
        max_bytes: the largest upload accepted.

    Raises:
        Invalid: Something is wrong; each file's problem is named with its line.
    """
    format_ = _one_format(form)
    tables: dict[str, pa.Table] = {}
    errors: list[FieldError] = []
    for file in form.files:
        before = tables.get(file.field)
        try:
            tables[file.field] = _read(file, max_bytes * _GROWTH, before)
        except Malformed as error:
            errors.append(FieldError(pointer(file.field), error.describe(file.filename)))
    _refuse(errors)
    tables, errors = types.same_columns(tables)
    _refuse(errors)
    tables, errors = types.same_types(tables, untyped=format_ in UNTYPED)
    _refuse(errors)
    first = next(iter(tables.values()))
    return Ingested(format_, describe(tables), _preview(first), tables)


def _refuse(errors: list[FieldError]) -> None:
    if errors:
        raise Invalid(errors, what="The dataset")


def _one_format(form: Form) -> str:
    """Check the splits' names and file names; all files must be of one format."""
    errors = []
    formats: dict[str, str] = {}
    if not form.files:
        errors.append(FieldError("", "No files. Send one file per split, for example -F train=@train.csv."))
    for file in form.files:
        extension = PurePosixPath(file.filename).suffix.lower().removeprefix(".")
        if not _SPLIT_NAME.fullmatch(file.field):
            errors.append(
                FieldError(
                    pointer(file.field),
                    f"{file.field!r} cannot be a split's name. Use 1 to 64 letters, digits, - and _.",
                )
            )
        elif file.field in formats and not form.sharded:
            errors.append(
                FieldError(pointer(file.field), f"Split {file.field!r} is there twice. Send one file for it.")
            )
        elif extension not in FORMATS:
            known = ", ".join(f".{extension}" for extension in FORMATS)
            errors.append(FieldError(pointer(file.field), f"{file.filename!r} is of no known format. Known: {known}."))
        else:
            formats[file.filename if form.sharded else file.field] = FORMATS[extension][0]
    if len(set(formats.values())) > 1:
        found = ", ".join(f"{name!r} is {format_}" for name, format_ in formats.items())
        errors.append(FieldError("", f"All splits must have one format: {found}. Convert them to the same."))
    _refuse(errors)
    return next(iter(formats.values()))


def _read(file: FilePart, max_bytes: int, before: pa.Table | None) -> pa.Table:
    """Read a file, after the table `before` of the same split if there is one."""
    extension = PurePosixPath(file.filename).suffix.lower().removeprefix(".")
    _, reader = FORMATS[extension]
    table = reader(file.stream, max_bytes - (0 if before is None else before.nbytes))
    for name in table.schema.names:
        if row := _first_row_with_nul(table[name]):
            raise Malformed(f"a NUL character in column {name!r}. Remove it.", row=row)
    require_agreement(table)
    if before is None:
        return table
    try:
        return pa.concat_tables([before, table.select(before.schema.names)])
    except (KeyError, pa.ArrowInvalid) as error:
        raise Malformed("other columns than the split's files before it. Write them all alike.") from error


def _first_row_with_nul(column: pa.ChunkedArray) -> int:
    """Counted from 1; 0 where there is none."""
    if pa.types.is_struct(column.type):
        column = pc.struct_field(column, "text")
    nested = pa.types.is_list(column.type)
    texts = pc.list_flatten(column) if nested else column
    if not pa.types.is_string(texts.type):
        return 0
    place = int(pc.index(pc.match_substring(texts, "\0"), value=True).as_py())
    return int(pc.list_parent_indices(column)[place].as_py()) + 1 if nested and place >= 0 else place + 1


def _preview(table: pa.Table) -> list[JsonObject]:
    return [
        {name: _short(value) for name, value in cast(dict[str, JsonValue], row).items()}
        for row in table.slice(0, PREVIEW_ROWS).to_pylist()
    ]


def _short(value: JsonValue) -> JsonValue:
    if isinstance(value, str) and len(value) > _PREVIEW_CHARACTERS:
        return value[: _PREVIEW_CHARACTERS - 1] + "…"
    if isinstance(value, Sequence) and not isinstance(value, str):
        more: list[JsonValue] = ["…"] if len(value) > _PREVIEW_ITEMS else []
        return [_short(each) for each in value[:_PREVIEW_ITEMS]] + more
    if isinstance(value, Mapping):
        return {name: _short(each) for name, each in value.items()}
    return value
