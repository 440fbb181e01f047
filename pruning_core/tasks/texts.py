"""Texts and pairs of texts as token ids, kept small: shared by the tasks that judge a whole text."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from pruning_core.tasks.base import ColumnError, EncodedSplit, Example

#: What of a tokenizer's output is kept; attention masks follow from padding.
KEYS = ("input_ids", "token_type_ids")


def flattened(
    rows: Sequence[Sequence[int]], key: str, tokenizer: PreTrainedTokenizerBase
) -> tuple[NDArray[np.int32], list[int]]:
    """The rows of an entry of `KEYS` behind one another, and the length of each.

    A row of no token becomes one of padding: an empty text comes to nothing where the tokenizer adds no special tokens
    (GPT-2), and no model reads a batch without a token.
    """
    filler = [tokenizer.pad_token_id if key == "input_ids" else 0]
    filled = [row or filler for row in rows]
    return np.concatenate([np.array(row, dtype=np.int32) for row in filled]), [len(row) for row in filled]


def _mute_ends(ids: NDArray[np.int32], added: NDArray[np.int32], tokenizer: PreTrainedTokenizerBase) -> None:
    """Make unknown tokens, in place, of the ends of sequence that texts say themselves and the tokenizer did not add.

    T5's classifier reads the last one of a row, and transformers refuses a batch whose rows have not all as many.
    """
    end, unknown = tokenizer.eos_token_id, tokenizer.unk_token_id
    if end is not None and unknown is not None:
        ids[(ids == end) & (added == 0)] = unknown


def require_texts(table: pa.Table, columns: Sequence[str]) -> None:
    """Check that every row has its texts.

    Raises:
        ColumnError: one has not.
    """
    for column in columns:
        if table[column].null_count:
            raise ColumnError(column, "no text", row=pc.index(pc.is_null(table[column]), value=True).as_py())


class EncodedTexts(EncodedSplit):
    """A tokenised split, kept as flat int32 arrays: 400,000 pairs take about 130 MB instead of gigabytes of lists.

    Attributes:
        lengths: [rows] tokens of each row.
        labels: [rows] what is to be learned: a class index or a number.
    """

    labels: NDArray[np.int64] | NDArray[np.float64]

    def __init__(
        self,
        table: pa.Table,
        columns: Sequence[str | None],
        labels: NDArray[np.int64] | NDArray[np.float64],
        tokenizer: PreTrainedTokenizerBase,
        max_length: int,
    ) -> None:
        """Tokenise all rows.

        Args:
            table: the rows.
            columns: the column of the text and that of its pair; the second may be None.
            labels: [rows] aligned with the table.
            tokenizer: the model's.
            max_length: longer rows are cut; of a pair, the longer text loses first.

        Raises:
            ColumnError: a text is missing.
        """
        self.labels = labels
        named = [column for column in columns if column is not None]
        require_texts(table, named)
        pieces: dict[str, list[NDArray[np.int32]]] = {}
        lengths: list[int] = []
        for batch in table.select(named).to_batches(max_chunksize=1000):
            texts = [batch[column].to_pylist() for column in named]
            encoded = tokenizer(
                *texts,
                truncation=True,
                max_length=max_length,
                return_attention_mask=False,
                return_special_tokens_mask=True,
                verbose=False,
            )
            for key in filter(encoded.__contains__, KEYS):
                flat, counts = flattened(encoded[key], key, tokenizer)
                if key == "input_ids":
                    _mute_ends(
                        flat, flattened(encoded["special_tokens_mask"], "special_tokens_mask", tokenizer)[0], tokenizer
                    )
                pieces.setdefault(key, []).append(flat)
                lengths += counts if key == "input_ids" else []
        self._columns = {key: np.concatenate(parts) for key, parts in pieces.items()}
        self.lengths = np.array(lengths, dtype=np.int64)
        self._starts = np.concatenate([[0], np.cumsum(self.lengths)])

    def __getitem__(self, item: int) -> Example:
        """Row `item` as lists."""
        start, stop = self._starts[item], self._starts[item + 1]
        example: Example = {key: values[start:stop].tolist() for key, values in self._columns.items()}
        return example | {"labels": self.labels[item].item()}
