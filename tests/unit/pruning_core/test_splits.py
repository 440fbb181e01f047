"""The user's tables: what is wrong with them is named by split, column and row as the user knows them."""

import pyarrow as pa
import pytest

from pruning_core.columns import Columns, QuestionAnswering, Regression, TextClassification, TokenClassification
from pruning_core.splits import Splits, encode_splits, tables_of
from pruning_core.tasks.base import DataError
from pruning_core.tasks.registry import TASKS, task_of
from tests.tiny import tiny_tokenizer

ROWS = 40
GOOD: dict[str, list[object]] = {
    "text": [f"the film {row}" for row in range(ROWS)],
    "label": ["no", "yes"] * (ROWS // 2),
    "score": [float(row) for row in range(ROWS)],
    "answers": [{"text": [str(row)], "answer_start": [9]} for row in range(ROWS)],
    "tokens": [["the", "film"]] * ROWS,
    "tags": [["O", "B-X"]] * ROWS,
}
CLASSIFY = TextClassification(text="text", label="label")
RATE = Regression(text="text", label="score")
ANSWER = QuestionAnswering(question="label", context="text", answers="answers")
TAG = TokenClassification()


def table(column: str | None = None, value: object = None, row: int = 0, kind: pa.DataType | None = None) -> pa.Table:
    """Rows that fit every task, but for one."""
    rows = {name: list(values) for name, values in GOOD.items()}
    if column:
        rows[column][row] = value
    return pa.table({name: pa.array(values, kind if name == column else None) for name, values in rows.items()})


def encoded(columns: Columns, train: pa.Table, evaluation: pa.Table | None = None) -> Splits:
    tables = tables_of(train, evaluation, columns)
    labels = TASKS[type(columns)].labels_in([table()], columns)
    return encode_splits(task_of(columns, labels), tables, tiny_tokenizer(), 16, seed=0)


FAULTS: list[tuple[Columns, str, object, str]] = [
    (CLASSIFY, "text", None, "no text"),
    (CLASSIFY, "label", None, "no label"),
    (CLASSIFY, "label", "so", "'so', which is not one of the run's labels,"),
    (RATE, "text", None, "no text"),
    (RATE, "score", None, "no number"),
    (ANSWER, "text", None, "no text"),
    (ANSWER, "answers", None, "no answer"),
    (ANSWER, "answers", {"text": ["oak"], "answer_start": [0]}, "'oak', which is not in its context,"),
    (TAG, "tokens", [], "no word"),
    (TAG, "tags", ["O"], "1 tags for the 2 words of 'tokens'"),
]


@pytest.mark.parametrize(("columns", "column", "value", "found"), FAULTS)
@pytest.mark.parametrize("row", [0, 17, ROWS - 1])
def test_a_row_is_named_by_its_number_in_the_user_s_table(
    columns: Columns, column: str, value: object, found: str, row: int
) -> None:
    """Whether it is held out or not: its number among those held out says nothing to anyone."""
    message = f"Column {column!r} holds {found} in row {row + 1}."
    with pytest.raises(DataError) as caught:
        encoded(columns, table(column, value, row))
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(("columns", "column", "value", "found"), FAULTS)
@pytest.mark.parametrize("split", ["training", "evaluation"])
def test_where_there_are_two_tables_the_split_is_named(
    columns: Columns, column: str, value: object, found: str, split: str
) -> None:
    tables = [table(column, value, 11) if name == split else table() for name in ("training", "evaluation")]
    with pytest.raises(DataError) as caught:
        encoded(columns, *tables)
    assert str(caught.value).startswith(f"Column {column!r} holds {found} in row 12 of the {split} split.")


def test_a_column_that_is_not_there_is_missed_in_its_split() -> None:
    with pytest.raises(DataError, match=r"no column 'score'\. The columns are: text, label,"):
        encoded(RATE, table().drop_columns("score"))
    with pytest.raises(DataError, match="no column 'score' in the evaluation split"):
        encoded(RATE, table(), table().drop_columns("score"))


def test_rows_are_those_of_the_tables_and_a_tenth_is_held_out_of_a_single_one() -> None:
    assert encoded(CLASSIFY, table(), table().slice(0, 3)).rows == (ROWS, 3)
    splits = encoded(CLASSIFY, table())
    assert splits.rows == (len(splits.train), len(splits.evaluation)) == (36, 4)
