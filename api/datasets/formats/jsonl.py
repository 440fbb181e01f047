"""Reads JSON lines: one object per line, of plain values, lists of them, and answers."""

import json
from typing import BinaryIO, NoReturn

import pyarrow as pa

from api.datasets.formats import batches, nested
from api.datasets.formats.encoding import require_utf8
from api.datasets.formats.malformed import Malformed
from api.datasets.formats.names import MAX_COLUMNS, require_good_names

_INT64 = range(-(2**63), 2**63)

_TYPES: dict[type, pa.DataType] = {str: pa.string(), bool: pa.bool_(), int: pa.int64(), float: pa.float64()}

_WORDS: dict[pa.DataType, str] = {
    pa.string(): "text",
    pa.bool_(): "true or false",
    pa.int64(): "a number",
    pa.float64(): "a number",
    nested.TEXTS: "a list of texts",
    nested.INTEGERS: "a list of numbers",
    nested.ANSWERS: "answers",
}


def read_jsonl(stream: BinaryIO, max_bytes: int) -> pa.Table:
    """Read one object per line; a column that an object leaves out is null there."""
    require_utf8(stream)
    columns = _Columns()
    batch: list[dict[str, object]] = []
    for number, line in enumerate(stream, start=1):
        if line.isspace():
            continue
        row = _row(line, number)
        columns.see(row, number)
        batch.append(row)
        if len(batch) == batches.ROWS:
            columns.add(batch)
            batch = []
    columns.add(batch)
    return columns.table()


class _Columns:
    """The columns seen so far: their types, which may widen, and their values."""

    def __init__(self) -> None:
        self._types: dict[str, pa.DataType | None] = {}
        self._batches = batches.Batches((), {})

    def see(self, row: dict[str, object], line: int) -> None:
        """Learn a row's columns, refusing values that do not go with those before."""
        for name, value in row.items():
            known = self._types.setdefault(name, None)
            if len(self._types) > MAX_COLUMNS:  # known now, and not when every row has been given every column
                raise Malformed(
                    f"more than {MAX_COLUMNS} different fields so far. Write the same fields in every line, and only "
                    "those that you use.",
                    line=line,
                )
            kind = None if value is None else _type_of(name, value, line)
            if kind is None or kind == known:
                continue
            if known is None:
                self._types[name] = kind
            elif {known, kind} == {pa.int64(), pa.float64()}:
                self._types[name] = pa.float64()
            else:
                raise Malformed(
                    f"column {name!r} holds {_WORDS[kind]} here and {_WORDS[known]} in rows before. "
                    "Write all values of a column in the same way.",
                    line=line,
                )

    def add(self, rows: list[dict[str, object]]) -> None:
        """Append rows that have been seen."""
        if rows:
            self._batches.add(
                {name: _alike([row.get(name) for row in rows], kind) for name, kind in self._types.items()}
            )

    def table(self) -> pa.Table:
        """Everything added."""
        require_good_names(list(self._types))
        self._batches.types = {name: kind or pa.string() for name, kind in self._types.items()}
        try:
            return self._batches.table()
        except pa.ArrowInvalid as error:  # a fraction in one row, in another an integer that no float can hold
            raise Malformed(f"numbers that do not fit together: {error}. Write them as text.") from error


def _alike(values: list[object], kind: pa.DataType | None) -> list[object]:
    """Values of one column in one form; one of which nothing is known yet holds nothing but empty lists."""
    if kind is None:
        return [None] * len(values)
    if kind == pa.float64():
        return [float(value) if type(value) is int else value for value in values]
    if kind == nested.ANSWERS:
        return [value and nested.answers_of(value) for value in values]
    return values


def _type_of(name: str, value: object, line: int) -> pa.DataType | None:
    """The column's type by one of its values; None for an empty list."""
    if not isinstance(value, list | dict):
        return _TYPES[type(value)]
    try:
        return nested.type_of(value)
    except ValueError as error:
        raise Malformed(f"column {name!r} holds {error}.", line=line) from error


def _row(line: bytes, number: int) -> dict[str, object]:
    try:
        row: object = _DECODER.decode(line.decode())
    except json.JSONDecodeError as error:
        raise Malformed(f"not JSON: {error.msg} at column {error.colno}.", line=number) from error
    except RecursionError as error:
        raise Malformed("nested too deeply.", line=number) from error
    except ValueError as error:
        raise Malformed(str(error), line=number) from error
    if not isinstance(row, dict):
        raise Malformed('not an object. Each line must look like {"text": "…", "label": "…"}.', line=number)
    # Only an escape can smuggle in what the file, known to be UTF-8, cannot hold itself.
    if b"\\u" in line and not all(_is_text(text) for text in nested.texts_in(row)):
        raise Malformed("a NUL character or half a character in a text. Remove it.", line=number)
    return row


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number. Use null for a missing value.")


def _int64(digits: str) -> int:
    if len(digits) > 20 or int(digits) not in _INT64:
        raise ValueError(f"the number {digits[:24]}… does not fit into 64 bits. Write it as text.")
    return int(digits)


def _finite(digits: str) -> float:
    number = float(digits)
    if number in (float("inf"), float("-inf")):
        raise ValueError(f"the number {digits[:24]} is too large. Write it as text.")
    return number


def _no_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    row = dict(pairs)
    if len(row) != len(pairs):
        raise ValueError("the same field twice in one object. Keep one of them.")
    return row


#: One for all lines: making it takes longer than reading a short line.
_DECODER = json.JSONDecoder(
    parse_constant=_no_constant, parse_int=_int64, parse_float=_finite, object_pairs_hook=_no_duplicates
)
