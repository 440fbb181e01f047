"""Soft movement pruning: a threshold on the scores, and a penalty that pushes them below it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pruning_core.methods.controller import select_above
from pruning_core.methods.penalised import PenalisedScores

if TYPE_CHECKING:
    from torch import Tensor

    from pruning_core.masking import MaskedWeights
    from pruning_core.schedule import Schedule

#: σ(S) > 0.1, as in the paper's code, for scores that start at zero; the same as S > -2.197.
_PAPERS_THRESHOLD = -2.1972245773362196


class SoftMovement(PenalisedScores):
    """M = (σ(S) > τ), trained on L + λ·R(S), R(S) the mean of σ(S) ("SMvP" in the paper, section 4).

    λ follows from the schedule's density by a controller. When the pruning window ends the threshold becomes the exact
    top v, so that the target is met to the weight. Scores that do not start at zero are cut at S > 0, σ(S) > 0.5.

    Where λ follows the task's pull, it does so to the end of the run, since Adam goes on moving scores; and what masks
    lag behind the schedule closes with the window, as a jump at its end would be the last thing that they learn from.
    Pairs of sentences, 60 steps, at 10 and 3 % density: 0.58 and 0.42, with a λ that is searched one class; dense 0.59.
    """

    name: ClassVar[str] = "soft_movement"
    summary: ClassVar[str] = (
        "Movement pruning with a threshold and a penalty instead of a top-v: layers find their own."
    )
    source: ClassVar[str] = "Sanh, Wolf & Rush 2020 (arXiv 2005.07683), section 4, 'soft movement pruning'"
    #: λ pulls, too.
    TRAVEL_BY_SENSITIVITY: ClassVar[float] = 0.15

    def start(self, weights: MaskedWeights, schedule: Schedule) -> None:
        """Begin without a penalty."""
        super().start(weights, schedule)
        self._threshold = _PAPERS_THRESHOLD if self.score_init == "zeros" else 0.0

    @property
    def _pulls(self) -> bool:
        """Whether there is a penalty now."""
        return self.in_window or self._controller.follows

    def before_scoring(self) -> None:
        """σ(S), where its gradient is about to be."""
        import torch

        if self._pulls:
            for score in self.weights.trained_scores:
                torch.sigmoid(score, out=score.grad)

    def score_gradient(self, where: slice, own: Tensor, out: Tensor) -> Tensor:
        """∂L/∂S + λ·∂R/∂S, with ∂R/∂S = σ'(S)/n."""
        from pruning_core.products import score_gradient, score_gradient_by_share

        weight = self.weights.weight[where]
        penalty = self._controller.penalty / len(self.weights)
        if self._pulls:
            size, norm = score_gradient_by_share(own, weight, penalty, out=out)
        else:
            size, norm = score_gradient(own, weight, penalty.new_zeros(()), out=out)
        self._sizes[where.start] = size
        return norm

    def select_softly(self, density: float) -> bool:
        """Threshold, and move λ, until the pruning window ends."""
        if not self.in_window:
            return False
        self.seed_penalty()
        select_above(self.weights, self._threshold, self._controller, density, ceiling=True)
        return True

    def metrics(self) -> dict[str, Tensor]:
        """λ."""
        return {"lambda": self._controller.penalty}
