"""Text classification, single texts or pairs: encoding, collation and metrics."""

from collections.abc import Sequence
from typing import TypedDict

import numpy as np
import pyarrow as pa
import torch
import torchmetrics
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset
from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score
from transformers import PreTrainedTokenizerBase

from pruning_core.spec import TextClassification

Label = str | int | bool


class DataError(ValueError):
    """The rows do not fit the task."""


class Example(TypedDict, total=False):
    """One encoded row: token ids (and type ids for pairs), padded later, batch by batch."""

    input_ids: list[int]
    token_type_ids: list[int]
    labels: int


def labels_of(tables: Sequence[pa.Table], column: str) -> list[Label]:
    """The distinct labels of a column over all tables, sorted.

    Raises:
        DataError: fewer than two classes.
    """
    values: set[Label] = set()
    for table in tables:
        values.update(value for value in table[column].unique().to_pylist() if value is not None)
    if len(values) < 2:
        raise DataError(f"Column {column!r} has one class only; classification needs at least two.")
    return sorted(values)


def class_ids(table: pa.Table, column: str, labels: Sequence[Label]) -> NDArray[np.int64]:
    """[rows] the position in `labels` of each row's label.

    Raises:
        DataError: a label is missing or not among `labels`.
    """
    index: dict[Label | None, int] = {label: i for i, label in enumerate(labels)}
    try:
        return np.array([index[value] for value in table[column].to_pylist()], dtype=np.int64)
    except KeyError as error:
        raise DataError(f"Column {column!r} holds {error.args[0]!r}, which is not one of the run's labels.") from error


class EncodedSplit(Dataset[Example]):
    """A tokenised split, kept as flat int32 arrays: 400,000 pairs take about 130 MB instead of gigabytes of lists.

    Attributes:
        lengths: tokens of each row.
        labels: class index of each row.
    """

    def __init__(
        self,
        table: pa.Table,
        task: TextClassification,
        labels: Sequence[Label],
        tokenizer: PreTrainedTokenizerBase,
        max_length: int,
    ) -> None:
        """Tokenise all rows.

        Raises:
            DataError: a text or label is missing, or a label is not among `labels`.
        """
        self.labels = class_ids(table, task.label, labels)
        pieces: dict[str, list[NDArray[np.int32]]] = {}
        lengths: list[int] = []
        columns = [task.text] if task.text_pair is None else [task.text, task.text_pair]
        for batch in table.select(columns).to_batches(max_chunksize=1000):
            texts = [[str(value) for value in batch[column].to_pylist()] for column in columns]
            encoded = tokenizer(
                *texts, truncation=True, max_length=max_length, return_attention_mask=False, verbose=False
            )
            lengths += [len(ids) for ids in encoded["input_ids"]]
            for key in ("input_ids", "token_type_ids"):
                if key in encoded:
                    pieces.setdefault(key, []).append(
                        np.concatenate([np.array(r, dtype=np.int32) for r in encoded[key]])
                    )
        self._columns = {key: np.concatenate(parts) for key, parts in pieces.items()}
        self.lengths: NDArray[np.int64] = np.array(lengths, dtype=np.int64)
        self._starts = np.concatenate([[0], np.cumsum(self.lengths)])

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.labels)

    def __getitem__(self, row: int) -> Example:
        """Row `row` as lists."""
        start, stop = self._starts[row], self._starts[row + 1]
        example = Example(input_ids=self._columns["input_ids"][start:stop].tolist(), labels=int(self.labels[row]))
        if "token_type_ids" in self._columns:
            example["token_type_ids"] = self._columns["token_type_ids"][start:stop].tolist()
        return example

    def majority_share(self) -> float:
        """Share of the most frequent class: what guessing it would score."""
        return float(np.bincount(self.labels).max() / len(self.labels))


def stratified_holdout(
    labels: NDArray[np.int64], share: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split row numbers into (train, held out), each class in proportion and never wholly held out.

    Args:
        labels: [n] class index of each row.
        share: held-out share of each class, rounded to the nearest row.
        seed: same seed, same rows.
    """
    rng = np.random.default_rng(seed)
    held: list[NDArray[np.int64]] = []
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        held.append(rows[: min(round(share * len(rows)), len(rows) - 1)])
    evaluation = np.sort(np.concatenate(held))
    if len(evaluation) == 0:
        raise DataError("Too few rows to hold any out for evaluation. Upload an evaluation split.")
    return np.setdiff1d(np.arange(len(labels)), evaluation), evaluation


class Quality:
    """Accuracy and macro-averaged F1, accumulated over batches (torchmetrics)."""

    def __init__(self, num_labels: int, device: torch.device) -> None:
        """Start empty."""
        self._metrics = torchmetrics.MetricCollection(
            {
                "accuracy": MulticlassAccuracy(num_labels, average="micro"),
                "f1_macro": MulticlassF1Score(num_labels, average="macro"),
            }
        ).to(device)

    def update(self, logits: Tensor, labels: Tensor) -> None:
        """Add a batch: logits [b, classes], labels [b]."""
        self._metrics.update(logits.float(), labels)

    def compute(self) -> dict[str, float]:
        """The figures over all batches so far."""
        return {name: float(value) for name, value in self._metrics.compute().items()}
