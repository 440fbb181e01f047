"""Questions with contexts as token ids: a context too long for the model is read through several windows."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from transformers import BatchEncoding, PreTrainedTokenizerBase

from pruning_core.columns import QuestionAnswering
from pruning_core.tasks.answers import LAYOUTS, UnknownLayout, answers_of
from pruning_core.tasks.base import ColumnError, EncodedSplit, Example
from pruning_core.tasks.texts import require_texts

#: Tokens that two neighbouring windows share, where the model has room for them (Devlin et al. 2018).
_STRIDE = 128

_UNANSWERED = "Questions without an answer, as in SQuAD 2.0, are not supported: remove such rows."

#: Offset of a token that is not of the context.
OUTSIDE = -1


def stride_of(max_length: int) -> int:
    """Tokens that neighbouring windows share."""
    return min(_STRIDE, max_length // 3)


def longest_question(max_length: int, special_tokens: int) -> int:
    """Most tokens of a question: what leaves the context room to share and to go on by half as much."""
    stride = stride_of(max_length)
    return max(1, max_length - special_tokens - stride - max(1, stride // 2))


def spans_in(context: str, texts: Sequence[str], starts: Sequence[int]) -> list[tuple[int, int]]:
    """Where answers stand in their context: [start, end) in characters, surrounding blanks left out.

    An answer that is not where it should be is searched for: starts are often counted in bytes, or from a context that
    was cleaned later. The occurrence nearest to the start counts; one that is nowhere is left out.
    """
    found = []
    for text, start in zip(texts, starts, strict=True):
        answer = text.strip()
        expected = start + text.index(answer) if start >= 0 else 0
        if not context.startswith(answer, expected):
            before = context.rfind(answer, 0, expected + len(answer) - 1)
            after = context.find(answer, expected)
            places = [place for place in (before, after) if place >= 0]
            if not places:
                continue
            expected = min(places, key=lambda place: abs(place - expected))
        found.append((expected, expected + len(answer)))
    return found


class Windows(EncodedSplit):
    """A tokenised split, kept as flat int32 arrays: one item is one window.

    Attributes:
        lengths: [windows] tokens of each window.
        rows: [windows] the row that each window is of, ascending.
        offsets: [tokens of all windows, 2] first and last character (exclusive) of each token of a context; `OUTSIDE`
            for all other tokens.
        targets: [windows, 2] first and last token of the answer; both the CLS token's where it is not in the window.
    """

    def __init__(
        self, table: pa.Table, columns: QuestionAnswering, tokenizer: PreTrainedTokenizerBase, max_length: int
    ) -> None:
        """Tokenise all rows.

        Args:
            table: the rows.
            columns: where question, context and answers are.
            tokenizer: the model's, a fast one.
            max_length: tokens of a window; longer contexts give several.

        Raises:
            ColumnError: a row has no question, no context or no answer, or an answer that is not in its context.
        """
        require_texts(table, [columns.question, columns.context])
        self._contexts, self._answers = table[columns.context], table[columns.answers]
        self._column = columns.answers
        self._tokenizer, self._max_length = tokenizer, max_length
        self._pieces: dict[str, list[NDArray[np.int32]]] = {}
        lengths: list[int] = []
        rows: list[int] = []
        offsets: list[NDArray[np.int32]] = []
        targets: list[tuple[int, int]] = []
        done = 0
        wanted = [columns.question, columns.context, columns.answers]
        for batch in table.select(wanted).to_batches(max_chunksize=500):
            questions = [self._cut(question) for question in batch[columns.question].to_pylist()]
            contexts = batch[columns.context].to_pylist()
            spans = [
                self._first_span(context, answers, done + row)
                for row, (context, answers) in enumerate(zip(contexts, batch[columns.answers].to_pylist(), strict=True))
            ]
            encoded = self._encode(questions, contexts)
            for window, row in enumerate(encoded["overflow_to_sample_mapping"]):
                ids = encoded["input_ids"][window]
                own = _context_offsets(encoded, window)
                cls = ids.index(tokenizer.cls_token_id) if tokenizer.cls_token_id in ids else 0
                lengths.append(len(ids))
                rows.append(done + row)
                offsets.append(own)
                targets.append(_tokens_of(spans[row], own) or (cls, cls))
            for key in ("input_ids", "token_type_ids"):
                if key in encoded:
                    flat = np.concatenate([np.array(ids, dtype=np.int32) for ids in encoded[key]])
                    self._pieces.setdefault(key, []).append(flat)
            done += len(contexts)
        self._columns = {key: np.concatenate(parts) for key, parts in self._pieces.items()}
        del self._pieces
        self.lengths = np.array(lengths, dtype=np.int64)
        self.rows = np.array(rows, dtype=np.int64)
        self.offsets = np.concatenate(offsets)
        self.targets = np.array(targets, dtype=np.int32)
        self._starts = np.concatenate([[0], np.cumsum(self.lengths)])

    def __getitem__(self, item: int) -> Example:
        """Window `item` as lists."""
        start, stop = self._starts[item], self._starts[item + 1]
        example: Example = {key: values[start:stop].tolist() for key, values in self._columns.items()}
        first, last = self.targets[item].tolist()
        return example | {"start_positions": first, "end_positions": last}

    def some(self, most: int) -> NDArray[np.int64]:
        """All windows of evenly spaced rows: a row is judged by its best window, so half a row says little."""
        rows = np.unique(self.rows)
        count = max(1, min(len(rows), most * len(rows) // len(self)))
        chosen = rows[np.linspace(0, len(rows) - 1, count).round().astype(np.int64)]
        return np.flatnonzero(np.isin(self.rows, chosen))

    def offsets_of(self, item: int) -> NDArray[np.int32]:
        """[tokens, 2] the window's part of `offsets`."""
        return self.offsets[self._starts[item] : self._starts[item + 1]]

    def text(self, row: int, start: int, end: int) -> str:
        """Characters [start, end) of a row's context."""
        return str(self._contexts[row].as_py())[start:end]

    def golds(self, row: int) -> list[str]:
        """The texts of a row's answers."""
        return answers_of(self._answers[row].as_py())[0]

    def _first_span(self, context: str, value: object, row: int) -> tuple[int, int]:
        try:
            texts, starts = answers_of(value)
        except UnknownLayout:
            raise ColumnError(self._column, str(value)[:100], row=row, remedy=LAYOUTS) from None
        if not texts:
            raise ColumnError(self._column, "no answer", row=row, remedy=_UNANSWERED)
        spans = spans_in(context, texts, starts)
        if not spans:
            raise ColumnError(self._column, f"{texts[0][:100]!r}, which is not in its context,", row=row)
        return spans[0]

    def _cut(self, question: str) -> str:
        """A question that leaves room for its context; nearly all do as they are."""
        question = question.strip()
        most = longest_question(self._max_length, self._tokenizer.num_special_tokens_to_add(pair=True))
        while True:
            encoded = self._tokenizer(
                question,
                add_special_tokens=False,
                return_offsets_mapping=True,
                return_attention_mask=False,
                verbose=False,
            )
            if len(encoded["input_ids"]) <= most:
                return question
            # Cut text may come to other tokens than before, so look again; each turn takes off a character at least.
            question = question[: min(encoded["offset_mapping"][most - 1][1], len(question) - 1)]

    def _encode(self, questions: list[str], contexts: list[str]) -> BatchEncoding:
        encoded: BatchEncoding = self._tokenizer(
            questions,
            contexts,
            truncation="only_second",
            max_length=self._max_length,
            stride=stride_of(self._max_length),
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
            return_attention_mask=False,
            verbose=False,
        )
        return encoded


def _context_offsets(encoded: BatchEncoding, window: int) -> NDArray[np.int32]:
    """[tokens, 2] of a window; `OUTSIDE` where a token is not of the context."""
    own = np.array(encoded["offset_mapping"][window], dtype=np.int32)
    own[[part != 1 for part in encoded.sequence_ids(window)]] = OUTSIDE
    return own


def _tokens_of(span: tuple[int, int], offsets: NDArray[np.int32]) -> tuple[int, int] | None:
    """First and last token of a span of characters, or None where not all of it is in the window."""
    tokens = np.flatnonzero(offsets[:, 0] != OUTSIDE)
    if len(tokens) == 0:
        return None
    starts, ends = offsets[tokens, 0], offsets[tokens, 1]
    if starts[0] > span[0] or ends[-1] < span[1]:
        return None
    # One character may be several tokens (bytes): the first that ends beyond it, the last that starts before its end.
    first = int(np.searchsorted(ends, span[0], side="right"))
    last = int(np.searchsorted(starts, span[1], side="left")) - 1
    return (int(tokens[first]), int(tokens[last])) if first <= last else None
