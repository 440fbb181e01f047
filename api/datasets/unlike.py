"""Which columns do not go with one another: words without tags, answers that no text holds."""

import pyarrow as pa
import pyarrow.compute as pc

from api.datasets.formats.nested import ANSWERS


def unlike(table: pa.Table, name: str) -> dict[str, int]:
    """The columns that do not go with one, and the first row, counted from 1, where they do not.

    Of lists those of other lengths; of answers the texts in which a row's are not. Which columns belong together a job
    says.
    """
    column, others = table[name], [other for other in table.schema.names if other != name]
    if pa.types.is_list(column.type):
        lists = [other for other in others if pa.types.is_list(table[other].type)]
        rows = {other: first_of_another_length(column, table[other]) for other in lists}
    elif column.type == ANSWERS:
        texts = [other for other in others if pa.types.is_string(table[other].type)]
        rows = {other: first_without_an_answer(column, table[other]) for other in texts}
    else:
        return {}
    return {other: row for other, row in rows.items() if row}


def first_of_another_length(one: pa.ChunkedArray, other: pa.ChunkedArray) -> int:
    """The first row, counted from 1, with lists of different lengths; 0 where there is none."""
    differs = pc.not_equal(pc.list_value_length(one), pc.list_value_length(other))
    return int(pc.index(differs, value=True).as_py()) + 1


def first_without_an_answer(answers: pa.ChunkedArray, texts: pa.ChunkedArray) -> int:
    """The first row, counted from 1, whose text holds none of its answers; 0 where there is none.

    Rows without answers or text are not looked at.
    """
    for row, (answer, text) in enumerate(zip(answers, texts, strict=True), start=1):
        if (given := answer.as_py()) and given["text"] and text.is_valid:
            whole = text.as_py()
            if not any(each.strip() in whole for each in given["text"]):
                return row
    return 0
