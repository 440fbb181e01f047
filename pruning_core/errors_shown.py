"""What a pruned model gets wrong, for people to look at: classes it confuses, and rows."""

import numpy as np
import pyarrow as pa

from pruning_core.report_schema import Confusion, Example
from pruning_core.tasks.base import Quality, RowScores, Task

MOST_ROWS = 10
MOST_CLASSES = 20
_LONGEST = 300


def confused(quality: Quality, task: Task) -> Confusion | None:
    """Rows by class and answer; of many classes the most frequent ones."""
    counts = quality.confusion()
    if counts is None:
        return None
    shown = np.sort(np.argsort(-counts.sum(axis=1), kind="stable")[:MOST_CLASSES])
    labels = [_short(str(task.labels[place])) for place in shown]
    return Confusion(labels=labels, counts=[[int(count) for count in row] for row in counts[np.ix_(shown, shown)]])


def worst_rows(quality: Quality, task: Task, table: pa.Table, dense: RowScores | None) -> list[Example]:
    """Rows that are not right: those first that lost most against the dense model, then those that went worst.

    Args:
        quality: the judge of the pruned model.
        task: names the columns.
        table: the rows that were judged.
        dense: how each row went with the dense model.
    """
    scores = quality.by_row().scores
    lost = np.zeros_like(scores) if dense is None else np.maximum(dense.scores - scores, 0.0)
    order = [int(row) for row in np.lexsort((scores, -lost)) if scores[row] < task.best][:MOST_ROWS]
    columns = list(task.columns.names().values())
    return [
        Example(
            row=row + 1,
            fields={column: _short(_words(table[column][row].as_py())) for column in columns},
            said=_short(quality.said(row)),
            lost=bool(lost[row] > 0),
        )
        for row in order
    ]


def _words(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 2]} …"
