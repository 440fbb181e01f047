"""What a task is: which model class, how rows become tensors, how answers are judged, what a teacher passes on."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import pyarrow as pa
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset
from transformers import DataCollatorWithPadding, PreTrainedTokenizerBase
from transformers.utils.generic import ModelOutput

from pruning_core.columns import Columns
from pruning_core.padding import pad_multiple

#: A class label or a tag.
Label = str | int | bool

#: One encoded row: what the model's `forward` takes, unpadded; its length is the number of `input_ids`.
Example = dict[str, Any]
Batch = dict[str, Tensor]


class DataError(ValueError):
    """The rows do not fit the task."""


class ColumnError(DataError):
    """A column holds what the task cannot use: in one row, or in all of them.

    Attributes:
        row: the row, counted from 0; None where the column as a whole is meant. Messages count from 1.
    """

    def __init__(
        self, column: str, found: str, *, row: int | None = None, remedy: str = "", split: str | None = None
    ) -> None:
        """Say what is wrong, and where.

        Args:
            column: the column's name.
            found: what it holds.
            row: the row, counted from 0.
            remedy: what to do about it, in whole sentences.
            split: the split's name, where there are several.
        """
        self.row = row
        self._column, self._found, self._remedy = column, found, remedy
        places = [] if row is None else [f"row {row + 1}"]
        if split is not None:
            places.append(f"the {split} split")
        where = f" in {' of '.join(places)}" if places else ""
        super().__init__(f"Column {column!r} holds {found}{where}. {remedy}".rstrip())

    def within(self, split: str | None, rows: NDArray[np.int64] | None = None) -> Self:
        """The same as the user sees it.

        Args:
            split: the split's name, where there are several.
            rows: the user's number of each row, counted from 0, where only some of the user's were looked at.
        """
        row = self.row if self.row is None or rows is None else int(rows[self.row])
        return type(self)(self._column, self._found, row=row, remedy=self._remedy, split=split)


class EncodedSplit(Dataset[Example], ABC):
    """A tokenised split. One item is one input of the model; long contexts give several items a row.

    Attributes:
        lengths: [items] tokens of each item.
    """

    lengths: NDArray[np.int64]

    def __len__(self) -> int:
        """Number of items."""
        return len(self.lengths)

    @abstractmethod
    def __getitem__(self, item: int) -> Example:
        """Item as lists of numbers, labels included."""

    def terms(self, items: Sequence[int]) -> int:
        """Over how many terms the model's own loss of a batch of these items is a mean."""
        return len(items)

    def some(self, most: int) -> NDArray[np.int64]:
        """At most so many items, evenly spaced and always the same ones, in ascending order."""
        return np.unique(np.linspace(0, len(self) - 1, min(most, len(self))).round().astype(np.int64))


@dataclass(frozen=True)
class RowScores:
    """What each row adds to the primary metric: enough to say how sure it is, and whom to compare it with.

    Attributes:
        terms: [rows, k] float64, rows in the order of the split's; `Task.metric_of` makes the metric of their sums.
        scores: [rows] float64, how well each row went; larger is better, and `best` is without fault.
    """

    terms: NDArray[np.float64]
    scores: NDArray[np.float64]

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.scores)


class Quality(ABC):
    """Judges answers, batch by batch."""

    @abstractmethod
    def update(self, items: NDArray[np.int64], output: ModelOutput, batch: Batch) -> None:
        """Add a batch.

        Args:
            items: [b] which items of the split the batch holds.
            output: the model's, on the model's device.
            batch: what the model was given, padded on the right.
        """

    @abstractmethod
    def compute(self) -> dict[str, float]:
        """Metric name → value over everything added."""

    @abstractmethod
    def by_row(self) -> RowScores:
        """The same, row by row; every row of the split must have been added."""

    @abstractmethod
    def said(self, row: int) -> str:
        """What the model answered to a row, in words."""

    def confusion(self) -> NDArray[np.int64] | None:
        """[truth, answer] how many rows, for tasks whose rows have a class."""
        return None


def longest_of(examples: Sequence[Example]) -> int:
    """Tokens of the longest item."""
    return max(len(example["input_ids"]) for example in examples)


class Task(ABC):
    """A task on a dataset's columns.

    Attributes:
        columns: which columns hold what.
        labels: class labels or tags in the order of their ids; empty where the task has none.
    """

    #: `transformers` auto class whose models carry the task's head.
    model_class: ClassVar[type]
    #: The metric that a run is judged by; larger is better.
    primary_metric: ClassVar[str]
    #: The model's outputs that a teacher's are compared with.
    logits: ClassVar[tuple[str, ...]] = ("logits",)
    #: What one point of the primary metric is: figures in percent have 1, shares 0.01.
    point: ClassVar[float] = 0.01
    #: Whether the primary metric is the share of rows that were answered right.
    counts_rows: ClassVar[bool] = False
    #: The score of a row without fault.
    best: ClassVar[float] = 1.0
    #: Whether the task has labels.
    labelled: ClassVar[bool] = False
    #: Whether the logits have a value per token, [b, tokens, …], instead of one per item.
    per_token: ClassVar[bool] = False
    #: Whether `distillation_loss` is a mean over tokens, and not over items.
    distils_tokens: ClassVar[bool] = False

    def __init__(self, columns: Columns, labels: Sequence[Label]) -> None:
        """Keep columns and labels."""
        self.columns = columns
        self.labels = list(labels)

    @classmethod
    @abstractmethod
    def check_columns(cls, table: pa.Table, columns: Columns) -> None:
        """Check that the columns hold what the task reads, by their types alone.

        Raises:
            ColumnError: one does not.
        """

    @classmethod
    def labels_in(cls, tables: Sequence[pa.Table], columns: Columns) -> list[Label]:
        """The class labels or tags of a dataset, in an order that depends on nothing else; none where a task has none.

        Raises:
            DataError: too few to learn from, or of unlike types.
        """
        return []

    @abstractmethod
    def head(self) -> dict[str, object]:
        """Changes to the model's config that give it the task's head."""

    @abstractmethod
    def encode(self, table: pa.Table, tokenizer: PreTrainedTokenizerBase, max_length: int) -> EncodedSplit:
        """Tokenise all rows.

        Raises:
            ColumnError: a row does not fit the task.
        """

    @abstractmethod
    def quality(self, split: EncodedSplit, device: torch.device) -> Quality:
        """A judge of answers to `split`, empty."""

    @abstractmethod
    def hold_out(self, table: pa.Table, share: float, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Split row numbers into (train, held out) without leaking one into the other; same seed, same rows.

        Raises:
            DataError: too few rows.
        """

    def metric_of(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        """The primary metric from sums of rows' terms: [..., k] → [...]; most are a quotient of two."""
        return sums[..., 0] / np.maximum(sums[..., 1], np.finfo(np.float64).tiny)

    def majority_share(self, split: EncodedSplit) -> float | None:
        """Share of the most frequent class among the items; None for a task without classes of items."""
        return None

    @abstractmethod
    def useless(self, quality: float, split: EncodedSplit) -> str | None:
        """What to tell of a model that is no better than guessing; None of one that is better.

        Args:
            quality: its primary metric.
            split: what it was judged on.
        """

    def collate(self, tokenizer: PreTrainedTokenizerBase, examples: Sequence[Example]) -> Batch:
        """Pad items on the right, to a multiple of eight tokens, into one batch."""
        multiple = pad_multiple(tokenizer, longest_of(examples))
        return dict(DataCollatorWithPadding(tokenizer, pad_to_multiple_of=multiple)(list(examples)))

    def loss(self, output: ModelOutput, batch: Batch) -> Tensor:
        """The mean loss over a batch's labels, a scalar in fp32: the model's own, where the task has no better one."""
        loss: Tensor = output["loss"]
        return loss.float()

    def distillation_loss(
        self, output: ModelOutput, teacher: Mapping[str, Tensor], batch: Batch, temperature: float
    ) -> Tensor:
        """KL(teacher_T ‖ student_T)·T², the mean over items (Hinton 2015; paper, section 6).

        Args:
            output: the student's.
            teacher: for each name of `logits` the teacher's, of the same shape.
            batch: what both were given.
            temperature: T, softens both distributions.
        """
        return torch.stack([divergence(output[name], teacher[name], temperature).mean() for name in self.logits]).mean()


def classes(labels: Sequence[Label]) -> dict[str, object]:
    """Changes to a model's config that name its classes."""
    names = [str(label) for label in labels]
    return {
        "num_labels": len(names),
        "id2label": dict(enumerate(names)),
        "label2id": {name: i for i, name in enumerate(names)},
    }


def divergence(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """KL(teacher_T ‖ student_T)·T² over the last dimension: logits [..., c] → [...]."""
    log_student = F.log_softmax(student.float() / temperature, dim=-1)
    log_teacher = F.log_softmax(teacher.float() / temperature, dim=-1)
    return F.kl_div(log_student, log_teacher, reduction="none", log_target=True).sum(dim=-1) * temperature**2
