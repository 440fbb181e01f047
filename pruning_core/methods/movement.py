"""Movement pruning: the weights that training moves away from zero stay."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pruning_core.methods.learned import LearnedScores

if TYPE_CHECKING:
    from torch import Tensor

    from pruning_core.masking import MaskedWeights
    from pruning_core.schedule import Schedule


class Movement(LearnedScores):
    """M = Top_v(S), scores learned with the straight-through estimator ("MvP" in the paper, section 4).

    With `score_init` `magnitude` what ranks is |W| + S, S from zero and |W| of the moment, in units of its matrix's
    first root mean square: a weight is worth what it is, and what the loss says of it. A run too short for scores to
    tell weights apart then prunes by magnitude, and never at random. `zeros` is the paper: S alone.
    """

    name: ClassVar[str] = "movement"
    summary: ClassVar[str] = "Keeps the weights that fine-tuning moves away from zero. Best below about 15 % density."
    source: ClassVar[str] = "Sanh, Wolf & Rush 2020 (arXiv 2005.07683), section 4"

    def write_initial_score(self, weight: Tensor, score: Tensor) -> None:
        """Zero: |W| is added anew at each selection."""
        score.zero_()

    def start(self, weights: MaskedWeights, schedule: Schedule) -> None:
        """Note the unit of each matrix."""
        super().start(weights, schedule)
        if self.score_init == "magnitude":
            units = [weights.weight.detach()[where].square().mean().rsqrt().clamp(max=1e12) for where in weights.slices]
            self._units = weights.buffers.setdefault("units", weights.weight.detach().new_tensor([0.0] * len(units)))
            for unit, measured in zip(self._units, units, strict=True):
                unit.copy_(measured)

    def importance(self, scratch: Tensor) -> Tensor:
        """|W| + S, or S."""
        score = self.weights.trained_score.detach()
        if self.score_init == "zeros":
            return score
        scratch.copy_(self.weights.weight.detach()).abs_()
        for where, unit in zip(self.weights.slices, self._units, strict=True):
            scratch[where].mul_(unit)
        return scratch.add_(score)
