"""What a column may hold, by its Arrow type. A column of nulls is of any type: its rows are told apart one by one."""

from collections.abc import Callable, Sequence

import pyarrow as pa

from pruning_core.tasks.base import ColumnError, DataError

_TEXTS, _INTEGERS, _BOOLEANS, _FLOATS, _NULLS = "strings", "integers", "booleans", "floats", "nulls"
_LABELS = (_TEXTS, _INTEGERS, _BOOLEANS, _NULLS)

_NO_CLASSES = (
    "Labels are strings, integers or booleans: cast them, or for numbers to predict choose the task 'regression'."
)


def expect_texts(table: pa.Table, column: str) -> None:
    """Check that a column holds texts; numbers and bytes are none.

    Raises:
        ColumnError: it holds something else.
    """
    _expect(_scalars, (_TEXTS, _NULLS), table, column, "Texts are strings: cast it, or name another column.")


def expect_classes(table: pa.Table, column: str) -> None:
    """Check that a column holds class labels.

    Raises:
        ColumnError: it holds something else.
    """
    _expect(_scalars, _LABELS, table, column, _NO_CLASSES)


def expect_numbers(table: pa.Table, column: str) -> None:
    """Check that a column holds numbers.

    Raises:
        ColumnError: it holds something else.
    """
    _expect(_scalars, (_INTEGERS, _FLOATS, _NULLS), table, column, "Regression needs numbers.")


def expect_words(table: pa.Table, column: str) -> None:
    """Check that a column holds lists of texts.

    Raises:
        ColumnError: it holds something else.
    """
    _expect(_members, (_TEXTS, _NULLS), table, column, "Each row needs a list of words, and words are strings.")


def expect_tags(table: pa.Table, column: str) -> None:
    """Check that a column holds lists of tags.

    Raises:
        ColumnError: it holds something else.
    """
    remedy = "Each row needs a list of tags, one for each word; tags are strings or integers."
    _expect(_members, _LABELS, table, column, remedy)


def expect_alike(tables: Sequence[pa.Table], column: str) -> None:
    """Check that class labels, or tags, are of one kind in all tables: `1` and `"1"` are two classes.

    Raises:
        DataError: they are not.
    """
    kinds = [_scalars(table[column].type) or _members(table[column].type) for table in tables]
    if len(set(kinds) - {_NULLS}) > 1:
        found = " in the training split and ".join(map(str, kinds))
        raise DataError(f"Column {column!r} holds {found} in the evaluation split. Give both the same type.")


def _scalars(kind: pa.DataType) -> str | None:
    """What single values of a type are, in a word; None where no task can read them."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return _TEXTS
    if pa.types.is_integer(kind):
        return _INTEGERS
    if pa.types.is_boolean(kind):
        return _BOOLEANS
    if pa.types.is_floating(kind):
        return _FLOATS
    return _NULLS if pa.types.is_null(kind) else None


def _members(kind: pa.DataType) -> str | None:
    """The same of the members of lists."""
    if pa.types.is_null(kind):
        return _NULLS
    lists = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return _scalars(kind.value_type) if any(is_one(kind) for is_one in lists) else None


def _expect(
    look: Callable[[pa.DataType], str | None], allowed: Sequence[str], table: pa.Table, column: str, remedy: str
) -> None:
    kind = table[column].type
    if look(kind) not in allowed:
        raise ColumnError(column, str(kind), remedy=remedy)
