"""Extractive question answering: the span of a context that answers a question, as in SQuAD 1.1."""

from collections.abc import Mapping
from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from transformers import AutoModelForQuestionAnswering, PreTrainedTokenizerBase
from transformers.utils.generic import ModelOutput

from pruning_core.columns import Columns, QuestionAnswering
from pruning_core.tasks.base import Batch, DataError, EncodedSplit, Quality, RowScores, Task, divergence
from pruning_core.tasks.holdout import Halves, grouped_holdout
from pruning_core.tasks.kinds import expect_texts
from pruning_core.tasks.squad_scores import exact_match, f1
from pruning_core.tasks.windows import OUTSIDE, Windows

#: The search for the best span looks at this many starts and ends, and at no longer answers (Devlin et al. 2018).
_CANDIDATES = 20
_LONGEST_ANSWER = 30

#: Logit of a padded token: its probability is 0, and 0 · log 0 stays a number.
_NEVER = -1e9


class AnswerQuestions(Task):
    """SQuAD 1.1: every question has an answer in its context. EM and F1 are percentages, as in SQuAD's own script."""

    model_class = AutoModelForQuestionAnswering
    primary_metric = "f1"
    point = 1.0
    best = 100.0
    logits = ("start_logits", "end_logits")
    per_token = True

    @classmethod
    def check_columns(cls, table: pa.Table, columns: Columns) -> None:
        """Texts; answers are looked at row by row."""
        names = cast(QuestionAnswering, columns)
        for column in (names.question, names.context):
            expect_texts(table, column)

    def head(self) -> dict[str, object]:
        """Two outputs a token: start and end."""
        return {"num_labels": 2, "problem_type": None}

    def encode(self, table: pa.Table, tokenizer: PreTrainedTokenizerBase, max_length: int) -> Windows:
        """Tokenise questions with contexts, in windows.

        Raises:
            ColumnError: a row has no question, no context or no answer, or an answer that is not in its context.
        """
        return Windows(table, cast(QuestionAnswering, self.columns), tokenizer, max_length)

    def quality(self, split: EncodedSplit, device: torch.device) -> Quality:
        """Exact match and F1."""
        return _Answered(cast(Windows, split))

    def hold_out(self, table: pa.Table, share: float, seed: int) -> Halves:
        """By context: all questions on a context are on the same side."""
        contexts = pc.dictionary_encode(table[cast(QuestionAnswering, self.columns).context]).combine_chunks()
        groups = contexts.indices.fill_null(-1).to_numpy()
        if len(np.unique(groups)) < 2:
            raise DataError("All rows have the same context, so none can be held out. Upload an evaluation split.")
        return grouped_holdout(groups, share, seed)

    def useless(self, quality: float, split: EncodedSplit) -> str | None:
        """No word of any answer found."""
        if quality > 0:
            return None
        return "The pruned model is no better than guessing: its answers share no word with the right ones (f1 0)."

    def loss(self, output: ModelOutput, batch: Batch) -> Tensor:
        """Cross-entropy of start and end, averaged.

        Without padding, over which transformers spreads probability: the loss of a window would depend on those beside
        it, and on several devices be another one.
        """
        padding = batch["attention_mask"] == 0  # [b, tokens]
        losses = [
            F.cross_entropy(output[f"{end}_logits"].float().masked_fill(padding, _NEVER), batch[f"{end}_positions"])
            for end in ("start", "end")
        ]
        return torch.stack(losses).mean()

    def distillation_loss(
        self, output: ModelOutput, teacher: Mapping[str, Tensor], batch: Batch, temperature: float
    ) -> Tensor:
        """KL over the tokens of a window, start and end averaged; padding takes no part in either distribution."""
        padding = batch["attention_mask"] == 0  # [b, tokens]
        losses = [
            divergence(
                output[name].float().masked_fill(padding, _NEVER),
                teacher[name].float().masked_fill(padding, _NEVER),
                temperature,
            ).mean()
            for name in self.logits
        ]
        return torch.stack(losses).mean()


class _Answered(Quality):
    """Of each row the best span over those of its windows that were seen; every row seen is judged."""

    def __init__(self, split: Windows) -> None:
        self._split = split
        #: Row → score, first and last character (exclusive).
        self._best: dict[int, tuple[float, int, int]] = {}

    def update(self, items: NDArray[np.int64], output: ModelOutput, batch: Batch) -> None:
        offsets = [self._split.offsets_of(int(item)) for item in items]
        inside = np.zeros(batch["input_ids"].shape, dtype=np.bool_)  # [b, tokens]
        for place, own in enumerate(offsets):
            inside[place, : len(own)] = own[:, 0] != OUTSIDE
        allowed = torch.from_numpy(inside).to(output["start_logits"].device)
        scores, firsts, lasts = best_spans(output["start_logits"], output["end_logits"], allowed)
        for item, own, score, first, last in zip(
            items, offsets, scores.tolist(), firsts.tolist(), lasts.tolist(), strict=True
        ):
            row = int(self._split.rows[item])
            best = self._best.setdefault(row, (-np.inf, 0, 0))  # the empty answer, if no window has a better one
            if score > best[0]:
                self._best[row] = (score, int(own[first, 0]), int(own[last, 1]))

    def by_row(self) -> RowScores:
        overlap = [100 * f1(self.said(row), self._split.golds(row)) for row in sorted(self._best)]
        scores = np.array(overlap, dtype=np.float64)
        return RowScores(np.stack([scores, np.ones(len(scores))], axis=1), scores)

    def said(self, row: int) -> str:
        _, start, end = self._best[row]
        return self._split.text(row, start, end)

    def compute(self) -> dict[str, float]:
        exact, overlap = [], []
        for row in self._best:
            predicted, golds = self.said(row), self._split.golds(row)
            exact.append(exact_match(predicted, golds))
            overlap.append(f1(predicted, golds))
        return {"exact_match": 100 * float(np.mean(exact)), "f1": 100 * float(np.mean(overlap))}


def best_spans(start: Tensor, end: Tensor, allowed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The span with the largest start + end logit of each window.

    Args:
        start: [b, tokens] logits.
        end: [b, tokens] logits.
        allowed: [b, tokens] whether a token may begin or end an answer.

    Returns:
        [b] the scores, first tokens and last tokens; the score is -inf where the candidates make no span.
    """
    candidates = min(_CANDIDATES, start.shape[1])
    starts = start.float().masked_fill(~allowed, -torch.inf).topk(candidates)
    ends = end.float().masked_fill(~allowed, -torch.inf).topk(candidates)
    lengths = ends.indices[:, None, :] - starts.indices[:, :, None] + 1  # [b, starts, ends]
    scores = starts.values[:, :, None] + ends.values[:, None, :]
    scores = scores.masked_fill((lengths < 1) | (lengths > _LONGEST_ANSWER), -torch.inf)
    best = scores.flatten(1).max(dim=1)
    firsts = starts.indices.gather(1, best.indices[:, None] // candidates).squeeze(1)
    lasts = ends.indices.gather(1, best.indices[:, None] % candidates).squeeze(1)
    return best.values, firsts, lasts
