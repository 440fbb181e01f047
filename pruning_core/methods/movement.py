"""Movement pruning: the weights that training moves away from zero stay."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pruning_core.methods.learned import LearnedScores

if TYPE_CHECKING:
    from torch import Tensor


class Movement(LearnedScores):
    """M = Top_v(S), scores learned with the straight-through estimator ("MvP" in the paper, section 4).

    With `score_init` `magnitude` what ranks is |W| + S, |W| of the moment and S from zero: a weight is worth what it
    is, and what the loss says of it. A run too short for scores to tell weights apart then prunes by magnitude, and
    never at random. `zeros` is the paper: S alone.
    """

    name: ClassVar[str] = "movement"
    summary: ClassVar[str] = "Keeps the weights that fine-tuning moves away from zero. Best below about 15 % density."
    source: ClassVar[str] = "Sanh, Wolf & Rush 2020 (arXiv 2005.07683), section 4"

    def write_initial_score(self, weight: Tensor, score: Tensor) -> None:
        """Zero: |W| is added anew at each selection."""
        score.zero_()

    def importance(self, scratch: Tensor) -> Tensor:
        """|W| + S, or S."""
        import torch

        score, weight = self.weights.trained_score.detach(), self.weights.weight.detach()
        if self.score_init == "zeros":
            return score
        for where in self.weights.passes:
            torch.abs(weight[where], out=scratch[where]).add_(score[where])
        return scratch
