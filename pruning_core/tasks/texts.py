"""Texts and pairs of texts as token ids, kept small: shared by the tasks that judge a whole text."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from pruning_core.tasks.base import ColumnError, EncodedSplit, Example

#: What tokenizers may give besides `input_ids`; attention masks follow from padding.
_KEYS = ("input_ids", "token_type_ids")


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
                *texts, truncation=True, max_length=max_length, return_attention_mask=False, verbose=False
            )
            lengths += [len(ids) for ids in encoded["input_ids"]]
            for key in _KEYS:
                if key in encoded:
                    flat = np.concatenate([np.array(row, dtype=np.int32) for row in encoded[key]])
                    pieces.setdefault(key, []).append(flat)
        self._columns = {key: np.concatenate(parts) for key, parts in pieces.items()}
        self.lengths = np.array(lengths, dtype=np.int64)
        self._starts = np.concatenate([[0], np.cumsum(self.lengths)])

    def __getitem__(self, item: int) -> Example:
        """Row `item` as lists."""
        start, stop = self._starts[item], self._starts[item + 1]
        example: Example = {key: values[start:stop].tolist() for key, values in self._columns.items()}
        return example | {"labels": self.labels[item].item()}
