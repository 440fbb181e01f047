"""The user's tables: what is wrong with them is named by split, column and row as the user knows them."""

from collections.abc import Sequence

import pyarrow as pa
import pytest

from pruning_core.columns import Columns, QuestionAnswering, Regression, TextClassification, TokenClassification
from pruning_core.splits import Splits, encode_splits, tables_of
from pruning_core.tasks.base import DataError, Label
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


def test_a_column_that_is_there_twice_is_refused() -> None:
    twice = table().append_column("text", table()["text"])
    with pytest.raises(DataError, match=r"There are 2 columns 'text' in the evaluation split\. Rename"):
        encoded(CLASSIFY, table(), twice)
    other = table().append_column("score", table()["score"])
    assert encoded(CLASSIFY, other).rows == (36, 4), "another column is none of ours"


@pytest.mark.parametrize("columns", [CLASSIFY, RATE, ANSWER, TAG])
def test_a_table_without_rows_is_refused(columns: Columns) -> None:
    empty = table().slice(0, 0)
    with pytest.raises(DataError, match="There is no row in the evaluation split"):
        encoded(columns, table(), empty)
    with pytest.raises(DataError, match="There is no row in the training split"):
        encoded(columns, empty, table())
    with pytest.raises(DataError, match=r"There is no row\."):
        encoded(columns, empty)


def filled(column: str, values: Sequence[object], kind: pa.DataType | None = None) -> pa.Table:
    """Rows that fit every task, but for one column."""
    names = table().column_names
    array = pa.array(list(values) * (ROWS // len(values)), kind)
    return table().set_column(names.index(column), column, array)


@pytest.mark.parametrize(
    ("columns", "column", "values", "words"),
    [
        (CLASSIFY, "text", [b"the film"], "holds binary.* Texts are strings: cast it"),
        (CLASSIFY, "text", [["the film"]], "holds list<.*> in the evaluation split. Texts are strings"),
        (CLASSIFY, "text", [1, 2], "holds int64.* Texts are strings"),
        (CLASSIFY, "label", [[0], [1]], "holds list<.*> in the evaluation split. Labels are strings, integers or"),
        (CLASSIFY, "label", [{"a": 0}, {"a": 1}], "holds struct<.*Labels are"),
        (CLASSIFY, "label", [0.5, 1.5], "holds double.* Labels are .* choose the task 'regression'"),
        (RATE, "text", [b"the film"], "holds binary"),
        (RATE, "score", ["1", "2"], "holds string in the evaluation split. Regression needs numbers"),
        (RATE, "score", [True, False], "holds bool.* Regression needs numbers"),
        (ANSWER, "text", [b"the film"], "holds binary"),
        (TAG, "tokens", ["the film"], "holds string.* list of words"),
        (TAG, "tokens", [[1, 2]], "holds list<.*int64>.* words are strings"),
        (TAG, "tags", ["O B-X"], "holds string.* list of tags"),
        (TAG, "tags", [[0.0, 1.5]], "holds list<.*double>.* tags are strings or integers"),
    ],
)
def test_a_column_of_another_type_is_refused(
    columns: Columns, column: str, values: Sequence[object], words: str
) -> None:
    """`str` would make a text of anything: b'…' and ['…'] were learnt from, quotes and all."""
    with pytest.raises(DataError, match=f"Column {column!r} {words}"):
        encoded(columns, table(), filled(column, values))


@pytest.mark.parametrize(
    ("columns", "column", "kind"),
    [
        (CLASSIFY, "text", pa.large_string()),
        (CLASSIFY, "text", pa.dictionary(pa.int32(), pa.string())),
        (CLASSIFY, "label", pa.dictionary(pa.int32(), pa.string())),
        (RATE, "score", pa.float32()),
        (TAG, "tokens", pa.large_list(pa.large_string())),
        (TAG, "tags", pa.list_(pa.string(), 2)),
    ],
)
def test_other_ways_to_store_the_same_are_read(columns: Columns, column: str, kind: pa.DataType) -> None:
    stored = table().set_column(table().column_names.index(column), column, pa.array(GOOD[column], kind))
    assert encoded(columns, stored).train[0] == encoded(columns, table()).train[0]


@pytest.mark.parametrize(
    ("columns", "column", "found"),
    [(CLASSIFY, "label", "no label"), (RATE, "score", "no number"), (TAG, "tags", "0 tags"), (ANSWER, "answers", "no")],
)
def test_a_column_of_nothing_but_nulls_is_told_by_its_first_row(columns: Columns, column: str, found: str) -> None:
    with pytest.raises(DataError, match=f"Column {column!r} holds {found} .*in row 1 of the training split"):
        encoded(columns, filled(column, [None], pa.null()), table())


@pytest.mark.parametrize(
    ("columns", "column", "one", "other", "words"),
    [
        (CLASSIFY, "label", [0, 1], ["0", "1"], "integers in the training split and strings in the evaluation split"),
        (CLASSIFY, "label", [0, 1], [False, True], "integers in the training split and booleans"),
        (TAG, "tags", [[0, 1]], [["0", "1"]], "integers in the training split and strings"),
    ],
)
def test_labels_of_unlike_types_are_refused(
    columns: Columns, column: str, one: Sequence[object], other: Sequence[object], words: str
) -> None:
    tables = [filled(column, one), filled(column, other)]
    with pytest.raises(DataError, match=f"Column {column!r} holds {words}.* same type"):
        TASKS[type(columns)].labels_in(tables, columns)
    assert len(TASKS[type(columns)].labels_in([filled(column, [None], pa.null()), tables[1]], columns)) == 2


@pytest.mark.parametrize("columns", [CLASSIFY, TAG])
@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (["x"], "labels has 1 of the two classes"),
        ([], "labels has 0"),
        (["a", "b", "b"], "labels has 'b' and 'b'"),
        (["1", "2", 1], "labels has '1' and 1, which are the same to a model's config"),
        ([1, True], "labels has 1 and True"),
    ],
)
def test_labels_that_cannot_be_told_apart_are_refused(columns: Columns, labels: list[Label], words: str) -> None:
    with pytest.raises(DataError, match=words):
        task_of(columns, labels)


def test_rows_are_those_of_the_tables_and_a_tenth_is_held_out_of_a_single_one() -> None:
    assert encoded(CLASSIFY, table(), table().slice(0, 3)).rows == (ROWS, 3)
    splits = encoded(CLASSIFY, table())
    assert splits.rows == (len(splits.train), len(splits.evaluation)) == (36, 4)
