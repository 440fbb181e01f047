"""Whether columns that belong together agree, as far as their names say that they do."""

import pyarrow as pa
import pyarrow.compute as pc

from api.datasets.formats.malformed import Malformed
from api.datasets.formats.nested import ANSWERS
from api.datasets.labels import TAG_NAMES, TOKEN_NAMES

CONTEXT = "context"


def require_agreement(table: pa.Table) -> None:
    """Check that answers are in their context, and that words have as many tags.

    Raises:
        Malformed: A row is not so; it is named.
    """
    columns = dict(zip(table.schema.names, table.columns, strict=True))
    for name, column in columns.items():
        if column.type == ANSWERS and CONTEXT in columns and pa.types.is_string(columns[CONTEXT].type):
            _require_in_context(name, column, columns[CONTEXT])
    words = [name for name in columns if name.lower() in TOKEN_NAMES and pa.types.is_list(columns[name].type)]
    tags = [name for name in columns if name.lower() in TAG_NAMES and pa.types.is_list(columns[name].type)]
    for first in words:
        for other in tags:
            _require_alike(first, other, table)


def _require_in_context(name: str, answers: pa.ChunkedArray, contexts: pa.ChunkedArray) -> None:
    for row, (answer, context) in enumerate(zip(answers, contexts, strict=True), start=1):
        given = answer.as_py()
        if given is None or not given["text"] or not context.is_valid:
            continue
        text = context.as_py()
        # A wrong start is mended when the job runs; an answer that is nowhere cannot be.
        if not any(each.strip() in text for each in given["text"]):
            raise Malformed(
                f"the answer {given['text'][0][:100]!r} in column {name!r} is not in the context. Correct it, or "
                "remove the row.",
                row=row,
            )


def _require_alike(words: str, tags: str, table: pa.Table) -> None:
    lengths = [pc.list_value_length(table[name]) for name in (words, tags)]
    row = pc.index(pc.not_equal(*lengths), value=True).as_py() + 1
    if row:
        found = [each[row - 1].as_py() for each in lengths]
        raise Malformed(
            f"{found[0]} values in column {words!r} and {found[1]} in {tags!r}. Each word needs one tag.", row=row
        )
