"""Whether columns that belong together agree, as far as their names say that they do."""

from collections.abc import Sequence

import pyarrow as pa

from api.datasets.formats.malformed import Malformed
from api.datasets.formats.nested import ANSWERS
from api.datasets.labels import TAG_NAMES, TOKEN_NAMES
from api.datasets.unlike import first_of_another_length

CONTEXT = "context"


def require_agreement(table: pa.Table) -> None:
    """Check that answers are in their context, and that words have as many tags.

    Raises:
        Malformed: A row is not so; it is named.
    """
    columns = dict(zip(table.schema.names, table.columns, strict=True))
    texts = [column for column in columns.values() if pa.types.is_string(column.type)]
    if CONTEXT in columns and pa.types.is_string(columns[CONTEXT].type):
        texts = [columns[CONTEXT]]
    for name, column in columns.items():
        if column.type == ANSWERS and texts:
            _require_in_a_text(name, column, texts)
    words = [name for name in columns if name.lower() in TOKEN_NAMES and pa.types.is_list(columns[name].type)]
    tags = [name for name in columns if name.lower() in TAG_NAMES and pa.types.is_list(columns[name].type)]
    for first in words:
        for other in tags:
            _require_alike(first, other, table)


def _require_in_a_text(name: str, answers: pa.ChunkedArray, texts: Sequence[pa.ChunkedArray]) -> None:
    """One of the texts is the context; which, a job says."""
    for row, (answer, *others) in enumerate(zip(answers, *texts, strict=True), start=1):
        given = answer.as_py()
        if given is None or not given["text"] or not any(each.is_valid for each in others):
            continue
        said = [each.strip() for each in given["text"]]
        if not all(said):
            raise Malformed(f"an empty answer in column {name!r}. Correct it, or remove the row.", row=row)
        # A wrong start is mended when the job runs; an answer that is nowhere cannot be.
        if not any(each in text.as_py() for each in said for text in others if text.is_valid):
            raise Malformed(
                f"the answer {given['text'][0][:100]!r} in column {name!r} is not in the context. Correct it, or "
                "remove the row.",
                row=row,
            )


def _require_alike(words: str, tags: str, table: pa.Table) -> None:
    if row := first_of_another_length(table[words], table[tags]):
        found = [len(table[name][row - 1]) for name in (words, tags)]
        raise Malformed(
            f"{found[0]} values in column {words!r} and {found[1]} in {tags!r}. Each word needs one tag.", row=row
        )
