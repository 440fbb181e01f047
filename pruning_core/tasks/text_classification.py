"""Text classification: one label for a text or a pair of texts."""

from collections.abc import Sequence
from typing import cast

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torchmetrics.classification import MulticlassStatScores
from transformers import AutoModelForSequenceClassification, PreTrainedTokenizerBase
from transformers.utils.generic import ModelOutput

from pruning_core.columns import Columns, TextClassification
from pruning_core.tasks.base import (
    Batch,
    ColumnError,
    DataError,
    EncodedSplit,
    Label,
    Quality,
    RowScores,
    Task,
    classes,
)
from pruning_core.tasks.holdout import Halves, stratified_holdout
from pruning_core.tasks.kinds import expect_alike, expect_classes, expect_texts
from pruning_core.tasks.texts import EncodedTexts


def labels_of(tables: Sequence[pa.Table], column: str) -> list[Label]:
    """The distinct labels of a column over all tables, sorted.

    Raises:
        DataError: fewer than two classes, or tables with labels of unlike types.
    """
    expect_alike(tables, column)
    values: set[Label] = set()
    for table in tables:
        values.update(value for value in table[column].unique().to_pylist() if value is not None)
    if len(values) < 2:
        raise DataError(f"Column {column!r} has one class only; classification needs at least two.")
    return sorted(values)


def class_ids(table: pa.Table, column: str, labels: Sequence[Label]) -> NDArray[np.int64]:
    """[rows] the position in `labels` of each row's label.

    Raises:
        ColumnError: a label is missing or not among `labels`.
    """
    index: dict[Label | None, int] = {label: i for i, label in enumerate(labels)}
    values = table[column].to_pylist()
    ids = np.array([index.get(value, -1) for value in values], dtype=np.int64)
    if (ids < 0).any():
        row = int(np.argmin(ids))
        found = "no label" if values[row] is None else f"{values[row]!r}, which is not one of the run's labels,"
        raise ColumnError(column, found, row=row)
    return ids


class LabelledTexts(EncodedTexts):
    """Encoded texts, each with a class.

    Attributes:
        labels: [rows] class index of each row.
    """

    labels: NDArray[np.int64]


class ClassifyTexts(Task):
    """Text classification with 2 to many classes."""

    model_class = AutoModelForSequenceClassification
    primary_metric = "accuracy"
    counts_rows = True
    labelled = True

    @classmethod
    def check_columns(cls, table: pa.Table, columns: Columns) -> None:
        """Texts, and labels."""
        names = cast(TextClassification, columns)
        for column in filter(None, (names.text, names.text_pair)):
            expect_texts(table, column)
        expect_classes(table, names.label)

    @classmethod
    def labels_in(cls, tables: Sequence[pa.Table], columns: Columns) -> list[Label]:
        """The distinct labels, sorted."""
        return labels_of(tables, cast(TextClassification, columns).label)

    def head(self) -> dict[str, object]:
        """A classifier for the labels."""
        return {**classes(self.labels), "problem_type": "single_label_classification"}

    def encode(self, table: pa.Table, tokenizer: PreTrainedTokenizerBase, max_length: int) -> LabelledTexts:
        """Tokenise texts and number labels.

        Raises:
            ColumnError: a text or label is missing, or a label is not among the run's.
        """
        columns = cast(TextClassification, self.columns)
        labels = class_ids(table, columns.label, self.labels)
        return LabelledTexts(table, (columns.text, columns.text_pair), labels, tokenizer, max_length)

    def quality(self, split: EncodedSplit, device: torch.device) -> Quality:
        """Accuracy and macro-averaged F1."""
        return Classified(cast(LabelledTexts, split).labels, [str(label) for label in self.labels], device)

    def hold_out(self, table: pa.Table, share: float, seed: int) -> Halves:
        """Each class in proportion."""
        columns = cast(TextClassification, self.columns)
        return stratified_holdout(class_ids(table, columns.label, self.labels), share, seed)

    def majority_share(self, split: EncodedSplit) -> float:
        """The accuracy of always guessing the most frequent class."""
        return int(np.bincount(cast(LabelledTexts, split).labels).max()) / len(split)

    def useless(self, quality: float, split: EncodedSplit) -> str | None:
        """Accuracy no higher than the majority class's share."""
        share = self.majority_share(split)
        if share == 1.0:  # of one class nothing can be told: whoever always guesses it is right
            return None
        if quality > share + 1e-9:  # both are fractions of the same whole: what is nearer differs by no row
            return None
        return f"The pruned model is no better than always guessing the most frequent class ({share:.1%})."


class Classified(Quality):
    """Accuracy and macro-averaged F1, from counts: in torchmetrics' own float32, 527 of 1,000 is not 0.527.

    Attributes:
        answers: [rows] the class that was answered; -1 for rows that were not added.
    """

    def __init__(self, truth: NDArray[np.int64], names: list[str], device: torch.device) -> None:
        """Begin with nothing.

        Args:
            truth: [rows] class index of each row.
            names: of the classes.
            device: where the answers are.
        """
        self._truth, self._names = truth, names
        self._counts = MulticlassStatScores(len(names), average=None).to(device)
        self.answers = np.full(len(truth), -1)

    def update(self, items: NDArray[np.int64], output: ModelOutput, batch: Batch) -> None:
        """Count a batch."""
        self._counts.update(output["logits"].float(), batch["labels"])
        self.answers[items] = output["logits"].argmax(dim=-1).cpu().numpy()

    def compute(self) -> dict[str, float]:
        """Accuracy and F1."""
        right, wrongly, _, missed, there = self._counts.compute().cpu().numpy().T  # [classes] each
        occurring = right + wrongly + missed > 0  # a class that is neither there nor answered has no F1
        f1 = 2 * right[occurring] / (2 * right + wrongly + missed)[occurring]
        return {"accuracy": int(right.sum()) / int(there.sum()), "f1_macro": float(f1.mean())}

    def by_row(self) -> RowScores:
        """One or nothing for each row."""
        right = (self.answers == self._truth).astype(np.float64)
        return RowScores(np.stack([right, np.ones(len(right))], axis=1), right)

    def said(self, row: int) -> str:
        """The class."""
        return self._names[int(self.answers[row])]

    def confusion(self) -> NDArray[np.int64]:
        """[truth, answer] how many rows."""
        table = np.zeros((len(self._names), len(self._names)), dtype=np.int64)
        np.add.at(table, (self._truth, self.answers), 1)
        return table
