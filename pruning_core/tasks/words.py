"""Tagged words as token ids: a word may be several tokens, and its tag belongs to the first."""

import copy
from collections.abc import Iterator, Sequence
from itertools import count, pairwise

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from tokenizers import pre_tokenizers
from transformers import PreTrainedTokenizerBase

from pruning_core.tasks.base import ColumnError, EncodedSplit, Example, Label
from pruning_core.tasks.texts import KEYS, flattened

#: A token without a tag: special, or not the first of its word. What torch's cross-entropy ignores.
UNTAGGED = -100


def tag_ids(
    table: pa.Table, tokens: str, tags: str, labels: Sequence[Label]
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """The position in `labels` of each word's tag, all rows one after the other, and the words of each row.

    Raises:
        ColumnError: a row has no words, another number of tags, or a tag that is missing or not among `labels`.
    """
    index: dict[Label | None, int] = {label: i for i, label in enumerate(labels)}
    ids: list[int] = []
    counts: list[int] = []
    row = -1
    for batch in table.select([tokens, tags]).to_batches(max_chunksize=1000):
        for words, named in zip(batch[tokens].to_pylist(), batch[tags].to_pylist(), strict=True):
            row += 1
            if not words or None in words:
                raise ColumnError(tokens, "nothing for a word" if words else "no word", row=row)
            if named is None or len(named) != len(words):
                found = f"{len(named or [])} tags for the {len(words)} words of {tokens!r}"
                raise ColumnError(tags, found, row=row, remedy="One tag for each word is needed.")
            for tag in named:
                if tag not in index:
                    found = "no tag for a word" if tag is None else f"{tag!r}, which is not one of the run's tags,"
                    raise ColumnError(tags, found, row=row)
            ids += [index[tag] for tag in named]
            counts.append(len(words))
    return np.array(ids, dtype=np.int32), np.array(counts, dtype=np.int64)


class TaggedWords(EncodedSplit):
    """A tokenised split, kept as flat int32 arrays.

    Attributes:
        lengths: [rows] tokens of each row.
    """

    def __init__(
        self,
        table: pa.Table,
        column: str,
        tagged: tuple[NDArray[np.int32], NDArray[np.int64]],
        tokenizer: PreTrainedTokenizerBase,
        max_length: int,
    ) -> None:
        """Tokenise all rows.

        Args:
            table: the rows.
            column: the column of the words.
            tagged: the tag of every word and the words of each row, as `tag_ids` has them.
            tokenizer: the model's, a fast one.
            max_length: longer rows are cut.
        """
        self._tags, counts = tagged
        self._words = np.concatenate([[0], np.cumsum(counts)])
        tokenizer = apart(tokenizer)
        pieces: dict[str, list[NDArray[np.int32]]] = {}
        lengths: list[int] = []
        for batch in table.select([column]).to_batches(max_chunksize=1000):
            encoded = tokenizer(
                batch[column].to_pylist(),
                is_split_into_words=True,
                truncation=True,
                max_length=max_length,
                return_attention_mask=False,
                verbose=False,
            )
            for key in filter(encoded.__contains__, KEYS):
                flat, own = flattened(encoded[key], key, tokenizer)
                pieces.setdefault(key, []).append(flat)
                lengths += own if key == "input_ids" else []
            firsts = [first_tokens(encoded.word_ids(row) or [None]) for row in range(len(encoded["input_ids"]))]
            pieces.setdefault("word", []).append(np.concatenate(firsts))
        self._columns = {key: np.concatenate(parts) for key, parts in pieces.items()}
        self._word = self._columns.pop("word")
        self.lengths = np.array(lengths, dtype=np.int64)
        self._starts = np.concatenate([[0], np.cumsum(self.lengths)])

    def __getitem__(self, item: int) -> Example:
        """Row `item` as lists."""
        start, stop = self._starts[item], self._starts[item + 1]
        example: Example = {key: values[start:stop].tolist() for key, values in self._columns.items()}
        word = self.words_of(item)
        return example | {"labels": np.where(word >= 0, self.tags(item)[word], UNTAGGED).tolist()}

    def terms(self, items: Sequence[int]) -> int:
        """The words that come to a token."""
        return sum(int(np.count_nonzero(self.words_of(item) >= 0)) for item in items)

    def tags(self, item: int) -> NDArray[np.int32]:
        """[words] the tags of a row, those of words that were cut off among them."""
        return self._tags[self._words[item] : self._words[item + 1]]

    def words_of(self, item: int) -> NDArray[np.int32]:
        """[tokens] the word that each token of a row is the first of, or -1."""
        return self._word[self._starts[item] : self._starts[item + 1]]


def first_tokens(word_ids: Sequence[int | None]) -> NDArray[np.int32]:
    """[tokens] the number of the word where a token is the first of one, else -1.

    Where no word came to a token, as in a row of blanks, the first token stands for the first word: a batch that has
    nothing to learn has a loss of 0/0.
    """
    before = pairwise([None, *word_ids])
    firsts = np.array([-1 if word is None or word == last else word for last, word in before], dtype=np.int32)
    if (firsts < 0).all():
        firsts[0] = 0
    return firsts


def apart(tokenizer: PreTrainedTokenizerBase) -> PreTrainedTokenizerBase:
    """The tokenizer as it must be for separate words.

    Byte-level tokenizers (RoBERTa) write a word's leading blank into its token, and separate words have none: "was" in
    the midst of a text would become the token of a word's tail. A copy adds the blanks.
    """
    tokenizer = copy.deepcopy(tokenizer)
    for part in _parts(tokenizer.backend_tokenizer.pre_tokenizer):
        if isinstance(part, pre_tokenizers.ByteLevel):
            part.add_prefix_space = True  # the tokenizer's own part, not a copy of it
    return tokenizer


def _parts(whole: object) -> Iterator[object]:
    """The parts of a pre-tokenizer that is a sequence, which knows neither `len` nor `iter`; else itself."""
    if not isinstance(whole, pre_tokenizers.Sequence):
        yield whole
        return
    for place in count():
        try:
            part = whole[place]
        except IndexError:
            return
        yield part
