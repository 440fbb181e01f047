"""Gives the splits of a dataset one schema: the same columns in the same order with the same types."""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from api.problems import FieldError, pointer

#: Up to 18 digits fit into 64 bits; a leading zero means that the digits are a code, not a number.
_INTEGER = r"^(0|-?[1-9][0-9]{0,17})$"

_NUMBER = r"^(0|-?[1-9][0-9]{0,17}|-?(0|[1-9][0-9]*)(\.[0-9]+([eE][-+]?[0-9]{1,2})?|[eE][-+]?[0-9]{1,2}))$"


def same_columns(splits: dict[str, pa.Table]) -> tuple[dict[str, pa.Table], list[FieldError]]:
    """Put every split's columns into the first one's order.

    Returns:
        The splits, and what is wrong with those whose columns are others.
    """
    first, *others = splits
    names = splits[first].schema.names
    ordered = {first: splits[first]}
    errors = []
    for split in others:
        found = splits[split].schema.names
        missing = [name for name in names if name not in found]
        extra = [name for name in found if name not in names]
        if missing or extra:
            words = [f"lacks {_listed(missing)}"] * bool(missing) + [f"adds {_listed(extra)}"] * bool(extra)
            errors.append(
                FieldError(
                    pointer(split),
                    f"Split {split!r} {' and '.join(words)} compared with {first!r}. All splits need the same columns.",
                )
            )
        else:
            ordered[split] = splits[split].select(names)
    return ordered, errors


def same_types(splits: dict[str, pa.Table], *, untyped: bool) -> tuple[dict[str, pa.Table], list[FieldError]]:
    """Cast every column to one type over all splits together.

    Args:
        splits: tables with the same columns in the same order.
        untyped: whether all cells are text whose types are yet to be found (CSV, TSV).

    Returns:
        The splits, and the columns whose types cannot be brought together.
    """
    types: dict[str, pa.DataType] = {}
    errors = []
    for name in next(iter(splits.values())).schema.names:
        columns = [table[name] for table in splits.values()]
        try:
            types[name] = _inferred(columns) if untyped else _common(columns)
        except pa.ArrowInvalid:
            kinds = {split: table[name].type for split, table in splits.items()}
            odd = next(split for split, kind in kinds.items() if kind != columns[0].type)
            found = ", ".join(f"{kind} in {split!r}" for split, kind in kinds.items())
            errors.append(FieldError(pointer(odd), f"Column {name!r} is {found}. Write it alike in all splits."))
    if errors:
        return splits, errors
    schema = pa.schema(list(types.items()))
    return {split: _cast(table, schema) for split, table in splits.items()}, []


def _cast(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Cast every column; one without any value becomes of any type, which a cast knows for plain types only."""
    return pa.table(
        [
            pa.chunked_array([pa.nulls(len(table), field.type)])
            if table[field.name].null_count == len(table)
            else table[field.name].cast(field.type)
            for field in schema
        ],
        schema=schema,
    )


def _inferred(columns: Sequence[pa.ChunkedArray]) -> pa.DataType:
    """The narrowest of int64, float64 and string that every value of every split fits."""
    if all(column.null_count == len(column) for column in columns):
        return pa.string()
    if _all_match(columns, _INTEGER):
        return pa.int64()
    if _all_match(columns, _NUMBER):
        return pa.float64()
    return pa.string()


def _all_match(columns: Sequence[pa.ChunkedArray], pattern: str) -> bool:
    return all(pc.all(pc.match_substring_regex(column, pattern), min_count=0).as_py() for column in columns)


def _common(columns: Sequence[pa.ChunkedArray]) -> pa.DataType:
    """The type that typed columns share; integers join floats, and a column of nulls joins any."""
    kinds = {column.type for column in columns if column.null_count < len(column)} or {columns[0].type}
    if kinds == {pa.int64(), pa.float64()}:
        return pa.float64()
    if len(kinds) > 1:
        raise pa.ArrowInvalid("different types")
    return kinds.pop()


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:5])) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
