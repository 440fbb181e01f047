"""The rows of a run, from the user's tables to encoded splits; errors name the split and row as the user knows them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from pruning_core.columns import Columns
from pruning_core.tasks.base import ColumnError, DataError, EncodedSplit, Task
from pruning_core.tasks.registry import TASKS

#: Share of the training rows held out where no evaluation split is given.
HOLDOUT = 0.1

TRAINING, EVALUATION = "training", "evaluation"


@dataclass(frozen=True)
class Splits:
    """What a run learns from and what it is judged on.

    Attributes:
        train: items to learn from.
        evaluation: items to judge on.
        rows: rows of each.
        judged: the rows of the evaluation split as they were given.
    """

    train: EncodedSplit
    evaluation: EncodedSplit
    rows: tuple[int, int]
    judged: pa.Table


def tables_of(train: pa.Table, evaluation: pa.Table | None, columns: Columns) -> dict[str, pa.Table]:
    """The tables by the names of their splits.

    Raises:
        DataError: one has no rows, or not the columns that the task reads.
    """
    tables = {TRAINING: train} if evaluation is None else {TRAINING: train, EVALUATION: evaluation}
    for split, table in tables.items():
        named = split if len(tables) > 1 else None
        within = f" in the {named} split" if named else ""
        for column in columns.names().values():
            found = table.column_names.count(column)
            if found == 0:
                has = ", ".join(table.column_names)
                raise DataError(f"There is no column {column!r}{within}. The columns are: {has}.")
            if found > 1:
                raise DataError(f"There are {found} columns {column!r}{within}. Rename all but one, or leave them out.")
        if len(table) == 0:
            raise DataError(f"There is no row{within}.")
        with _as_the_user_sees_it(named):
            TASKS[type(columns)].check_columns(table, columns)
    return tables


def encode_splits(
    task: Task, tables: Mapping[str, pa.Table], tokenizer: PreTrainedTokenizerBase, max_length: int, seed: int
) -> Splits:
    """Hold rows out where there is one table only, and tokenise.

    Args:
        task: reads the rows.
        tables: as `tables_of` gives them.
        tokenizer: the model's.
        max_length: tokens per item.
        seed: for the rows held out.

    Raises:
        DataError: a row does not fit the task, or none can be held out.
    """
    parts: list[tuple[str | None, pa.Table, NDArray[np.int64] | None]]
    if len(tables) > 1:
        parts = [(split, table, None) for split, table in tables.items()]
    else:
        whole = tables[TRAINING]
        parts = [(None, whole.take(rows), rows) for rows in task.hold_out(whole, HOLDOUT, seed)]
    encoded = []
    for split, table, rows in parts:
        with _as_the_user_sees_it(split, rows):
            encoded.append(task.encode(table, tokenizer, max_length))
    return Splits(encoded[0], encoded[1], (len(parts[0][1]), len(parts[1][1])), parts[1][1])


@contextmanager
def _as_the_user_sees_it(split: str | None, rows: NDArray[np.int64] | None = None) -> Iterator[None]:
    try:
        yield
    except ColumnError as error:
        raise error.within(split, rows) from None
