"""Whether columns that belong together agree, as far as their names say that they do."""

import pyarrow as pa
import pyarrow.compute as pc

from api.datasets.formats.malformed import Malformed
from api.datasets.formats.nested import ANSWERS
from api.datasets.labels import TAG_NAMES, TOKEN_NAMES
from api.datasets.unlike import first_of_another_length, first_without_an_answer

CONTEXT = "context"


def require_agreement(table: pa.Table) -> None:
    """Check that answers are in their context, and that words have as many tags.

    Raises:
        Malformed: A row is not so; it is named.
    """
    columns = dict(zip(table.schema.names, table.columns, strict=True))
    for name, column in columns.items():
        if column.type == ANSWERS:
            _require_words(name, column)
            if CONTEXT in columns and pa.types.is_string(columns[CONTEXT].type):
                _require_in_context(name, column, columns[CONTEXT])
    words = [name for name in columns if name.lower() in TOKEN_NAMES and pa.types.is_list(columns[name].type)]
    tags = [name for name in columns if name.lower() in TAG_NAMES and pa.types.is_list(columns[name].type)]
    for first in words:
        for other in tags:
            _require_alike(first, other, table)


def _require_words(name: str, answers: pa.ChunkedArray) -> None:
    texts = pc.struct_field(answers, "text").combine_chunks()
    place = pc.index(pc.equal(pc.utf8_trim_whitespace(pc.list_flatten(texts)), ""), value=True).as_py()
    if place >= 0:
        row = pc.list_parent_indices(texts)[place].as_py() + 1
        raise Malformed(f"an empty answer in column {name!r}. Correct it, or remove the row.", row=row)


def _require_in_context(name: str, answers: pa.ChunkedArray, contexts: pa.ChunkedArray) -> None:
    # A wrong start is mended when the job runs; an answer that is nowhere cannot be.
    if row := first_without_an_answer(answers, contexts):
        said = answers[row - 1].as_py()["text"][0]
        raise Malformed(
            f"the answer {said[:100]!r} in column {name!r} is not in the context. Correct it, or remove the row.",
            row=row,
        )


def _require_alike(words: str, tags: str, table: pa.Table) -> None:
    if row := first_of_another_length(table[words], table[tags]):
        found = [len(table[name][row - 1]) for name in (words, tags)]
        raise Malformed(
            f"{found[0]} values in column {words!r} and {found[1]} in {tags!r}. Each word needs one tag.", row=row
        )
