"""Columns that hold more than one value a row: words with their tags, and answers."""

from collections.abc import Iterator, Mapping
from typing import cast

import pyarrow as pa
import pyarrow.compute as pc

from api.datasets.formats.malformed import Malformed

#: As SQuAD's tables have them: the texts of a question's answers, and where each starts in the context.
ANSWERS = pa.struct([("text", pa.list_(pa.string())), ("answer_start", pa.list_(pa.int64()))])

TEXTS = pa.list_(pa.string())
INTEGERS = pa.list_(pa.int64())


def type_of(value: list[object] | Mapping[str, object]) -> pa.DataType | None:
    """The type of a nested JSON value; None for an empty list, which is of any.

    Raises:
        ValueError: It is of none that is taken; the message goes on after "column … holds".
    """
    if isinstance(value, Mapping) or (value and all(isinstance(each, Mapping) for each in value)):
        answers_of(value)
        return ANSWERS
    kinds = {type(each) for each in value}
    if not kinds:
        return None
    if kinds == {str}:
        return TEXTS
    if kinds == {int}:
        return INTEGERS
    raise ValueError("a list of something else than texts, whole numbers or answers")


def answers_of(value: object) -> dict[str, list[object]]:
    """Answers from either of the layouts in use, as `ANSWERS` has them.

    Raises:
        ValueError: They are laid out in another way; the message goes on after "column … holds".
    """
    if isinstance(value, Mapping):
        texts, starts = value.get("text"), value.get("answer_start")
    else:
        each = cast(list[Mapping[str, object]], value)
        texts, starts = [one.get("text") for one in each], [one.get("answer_start") for one in each]
    if (
        not isinstance(texts, list)
        or not isinstance(starts, list)
        or len(texts) != len(starts)
        or not all(type(text) is str for text in texts)
        or not all(type(start) is int for start in starts)
    ):
        raise ValueError(
            'an object. Objects are taken as answers only, such as {"text": ["an oak"], "answer_start": [7]} or '
            '[{"text": "an oak", "answer_start": 7}]'
        )
    return {"text": texts, "answer_start": starts}


def texts_in(value: object) -> Iterator[str]:
    """Every text in a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for each in value:
            yield from texts_in(each)
    elif isinstance(value, Mapping):
        for name, each in value.items():
            yield name
            yield from texts_in(each)


def plain_type(kind: pa.DataType) -> pa.DataType | None:
    """What an Arrow type becomes; None where it is none of these."""
    if _is_list(kind):
        inner = kind.value_type
        if pa.types.is_struct(inner):
            return ANSWERS if _has_answers(inner, lists=False) else None
        return TEXTS if _is_text(inner) else INTEGERS if pa.types.is_integer(inner) else None
    return ANSWERS if pa.types.is_struct(kind) and _has_answers(kind, lists=True) else None


def plain(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    """Cast a column to the type that `plain_type` told."""
    if kind != ANSWERS or column.type == ANSWERS:
        return column.cast(kind)
    return pa.chunked_array([_answers(chunk) for chunk in column.chunks], type=ANSWERS)


def require_whole(name: str, column: pa.ChunkedArray) -> None:
    """Check that lists have no gaps, and answers a start each.

    Raises:
        Malformed: A row is not so; it is named.
    """
    if column.type == ANSWERS:
        parts = [pc.struct_field(column, part) for part in ("text", "answer_start")]
        unlike = pc.not_equal(*(pc.fill_null(pc.list_value_length(part), 0) for part in parts))
        if row := pc.index(unlike, value=True).as_py() + 1:
            raise Malformed(f"column {name!r} has not one answer_start for each text.", row=row)
    else:
        parts = [column]
    for part in parts:
        gap = pc.index(pc.is_null(pc.list_flatten(part)), value=True).as_py()
        if gap >= 0:
            row = pc.list_parent_indices(part)[gap].as_py() + 1
            raise Malformed(f"column {name!r} holds a list with a null in it. Remove it, or the row.", row=row)


def _answers(chunk: pa.Array) -> pa.Array:
    """One chunk of answers: lists of structs turned inside out, or structs of lists without further fields."""
    if pa.types.is_struct(chunk.type):
        texts, starts = (pc.struct_field(chunk, name) for name in ("text", "answer_start"))
    else:
        lengths = pc.fill_null(pc.list_value_length(chunk), 0).cast(pa.int32())
        offsets = pa.concat_arrays([pa.array([0], pa.int32()), pc.cumulative_sum(lengths)])
        each = pc.list_flatten(chunk)
        texts, starts = (
            pa.ListArray.from_arrays(offsets, pc.struct_field(each, name)) for name in ("text", "answer_start")
        )
    fields = [texts.cast(TEXTS), starts.cast(INTEGERS)]
    return pa.StructArray.from_arrays(fields, fields=list(ANSWERS), mask=chunk.is_null())


def _has_answers(kind: pa.StructType, *, lists: bool) -> bool:
    parts = {field.name: field.type for field in kind}
    if not {"text", "answer_start"} <= set(parts):
        return False
    text, start = parts["text"], parts["answer_start"]
    if lists:
        if not (_is_list(text) and _is_list(start)):
            return False
        text, start = text.value_type, start.value_type
    return _is_text(text) and pa.types.is_integer(start)


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _is_text(kind: pa.DataType) -> bool:
    stored = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(stored) or pa.types.is_large_string(stored))
