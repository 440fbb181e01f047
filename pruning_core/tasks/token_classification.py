"""Token classification: one tag for each word, as in named-entity recognition."""

from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import AutoModelForTokenClassification, DataCollatorForTokenClassification, PreTrainedTokenizerBase
from transformers.utils.generic import ModelOutput

from pruning_core.columns import Columns, TokenClassification
from pruning_core.padding import pad_multiple
from pruning_core.tasks.base import (
    Batch,
    DataError,
    EncodedSplit,
    Example,
    Label,
    Quality,
    RowScores,
    Task,
    classes,
    divergence,
    longest_of,
)
from pruning_core.tasks.entities import Entity, entities_in, follow_a_scheme, scores
from pruning_core.tasks.holdout import Halves, random_holdout
from pruning_core.tasks.kinds import expect_alike, expect_tags, expect_words
from pruning_core.tasks.words import TaggedWords, tag_ids


class TagWords(Task):
    """Tags for words. A word's tag is learned at its first token, and read from it."""

    model_class = AutoModelForTokenClassification
    primary_metric = "f1"
    per_token = True
    distils_tokens = True
    labelled = True

    @classmethod
    def check_columns(cls, table: pa.Table, columns: Columns) -> None:
        """Lists of words, and lists of tags."""
        names = cast(TokenClassification, columns)
        expect_words(table, names.tokens)
        expect_tags(table, names.tags)

    @classmethod
    def labels_in(cls, tables: Sequence[pa.Table], columns: Columns) -> list[Label]:
        """The distinct tags, sorted.

        Raises:
            DataError: fewer than two, or tables with tags of unlike types.
        """
        column = cast(TokenClassification, columns).tags
        expect_alike(tables, column)
        values: set[Label] = set()
        for table in tables:
            if not pa.types.is_null(table[column].type):
                flat = pc.list_flatten(table[column])
                values.update(value for value in flat.unique().to_pylist() if value is not None)
        if len(values) < 2:
            raise DataError(f"Column {column!r} has one tag only; classification needs at least two.")
        return sorted(values)

    def head(self) -> dict[str, object]:
        """A classifier of tokens for the tags."""
        return {**classes(self.labels), "problem_type": None}

    def encode(self, table: pa.Table, tokenizer: PreTrainedTokenizerBase, max_length: int) -> TaggedWords:
        """Tokenise words and number tags.

        Raises:
            ColumnError: a row has no words, another number of tags, or a tag that is not among the run's.
        """
        return TaggedWords(table, self._columns.tokens, self._tags(table), tokenizer, max_length)

    def quality(self, split: EncodedSplit, device: torch.device) -> Quality:
        """Precision, recall and F1 of entities, and the accuracy of words."""
        return _Tagged(cast(TaggedWords, split), [str(label) for label in self.labels])

    def hold_out(self, table: pa.Table, share: float, seed: int) -> Halves:
        """By lot."""
        self._tags(table)  # what is wrong is named by the row that the user knows
        return random_holdout(table.num_rows, share, seed)

    def useless(self, quality: float, split: EncodedSplit) -> str | None:
        """Nothing found, as by tagging every word `O`."""
        if quality > 0:
            return None
        return "The pruned model is no better than guessing: it finds nothing of what is tagged (f1 0)."

    def collate(self, tokenizer: PreTrainedTokenizerBase, examples: Sequence[Example]) -> Batch:
        """Pad items and their tags on the right."""
        multiple = pad_multiple(tokenizer, longest_of(examples))
        return dict(DataCollatorForTokenClassification(tokenizer, pad_to_multiple_of=multiple)(list(examples)))

    def distillation_loss(
        self, output: ModelOutput, teacher: Mapping[str, Tensor], batch: Batch, temperature: float
    ) -> Tensor:
        """KL(teacher_T ‖ student_T)·T², the mean over tokens that are no padding."""
        real = batch["attention_mask"].bool()  # [b, tokens]
        return divergence(output["logits"][real], teacher["logits"][real], temperature).mean()

    @property
    def _columns(self) -> TokenClassification:
        return cast(TokenClassification, self.columns)

    def _tags(self, table: pa.Table) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        return tag_ids(table, self._columns.tokens, self._columns.tags, self.labels)


class _Tagged(Quality):
    """Every word of a row counts: one that was cut off, or came to no token, is taken to be predicted as `O`."""

    def __init__(self, split: TaggedWords, names: list[str]) -> None:
        self._split = split
        self._names = np.array([*names, "O"], dtype=object)  # the last for words that the model never saw
        self._schemed = follow_a_scheme(names)
        self._gold: set[Entity] = set()
        self._predicted: set[Entity] = set()
        self._right = self._words = 0
        #: Row → the tags that were given, and twice the entities found of how many there and found.
        self._said: dict[int, tuple[list[str], float, float]] = {}

    def update(self, items: NDArray[np.int64], output: ModelOutput, batch: Batch) -> None:
        answers = output["logits"].argmax(dim=-1).cpu().numpy()  # [b, tokens]
        for item, answer in zip(items.tolist(), answers, strict=True):
            tags, words = self._split.tags(item), self._split.words_of(item)
            given = np.full(len(tags), len(self._names) - 1)
            tokens = np.flatnonzero(words >= 0)
            given[words[tokens]] = answer[tokens]
            gold, predicted = self._names[tags].tolist(), self._names[given].tolist()
            there, found = (entities_in(item, named, schemed=self._schemed) for named in (gold, predicted))
            self._gold |= there
            self._predicted |= found
            self._said[item] = (predicted, 2.0 * len(there & found), float(len(there) + len(found)))
            self._right += sum(one == other for one, other in zip(gold, predicted, strict=True))
            self._words += len(tags)

    def by_row(self) -> RowScores:
        terms = np.array([self._said[row][1:] for row in sorted(self._said)], dtype=np.float64)
        return RowScores(terms, np.where(terms[:, 1] > 0, terms[:, 0] / np.maximum(terms[:, 1], 1.0), 1.0))

    def said(self, row: int) -> str:
        return " ".join(self._said[row][0])

    def compute(self) -> dict[str, float]:
        return {**scores(self._gold, self._predicted), "accuracy": self._right / max(1, self._words)}
