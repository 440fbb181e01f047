"""Soft movement pruning: a threshold on the scores, and a penalty that pushes them below it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pruning_core.methods.controller import PenaltyController, select_above
from pruning_core.methods.learned import LearnedScores, pull_by_default

if TYPE_CHECKING:
    from torch import Tensor

    from pruning_core.masking import MaskedWeights
    from pruning_core.schedule import Schedule, Shape

#: σ(S) > 0.1, as in the paper's code, for scores that start at zero; the same as S > -2.197.
_PAPERS_THRESHOLD = -2.1972245773362196


class SoftMovement(LearnedScores):
    """M = (σ(S) > τ), trained on L + λ·R(S), R(S) the mean of σ(S) ("SMvP" in the paper, section 4).

    λ follows from the schedule's density by a controller. When the pruning window ends the threshold becomes the exact
    top v, so that the target is met to the weight. Scores that do not start at zero are cut at S > 0, σ(S) > 0.5.

    Where weights are frozen in a short run, masks alone have to make up for what goes, and learn from what the task
    says of them: a λ that drowns it leaves the order that scores started in. There λ is as strong as the pull of hard
    movement pruning, a few times the task's own, for as long as scores are learned; and what the masks lag behind
    the schedule closes with the window, as a jump at its end would be the last thing that they learn from. Pairs of
    sentences, 60 steps, at 10 and 3 % density: 0.58 and 0.42, with the controller one class; dense 0.59.
    """

    name: ClassVar[str] = "soft_movement"
    summary: ClassVar[str] = (
        "Movement pruning with a threshold and a penalty instead of a top-v: layers find their own."
    )
    source: ClassVar[str] = "Sanh, Wolf & Rush 2020 (arXiv 2005.07683), section 4, 'soft movement pruning'"
    scopes: ClassVar[tuple[str, ...]] = ("global",)
    granularities: ClassVar[tuple[str, ...]] = ("element",)
    shapes: ClassVar[tuple[Shape, ...]] = ("cubic", "linear")
    #: λ pulls, too.
    TRAVEL_BY_SENSITIVITY: ClassVar[float] = 0.15

    def start(self, weights: MaskedWeights, schedule: Schedule) -> None:
        """Begin without a penalty."""
        super().start(weights, schedule)
        follows = weights.frozen and schedule.trained
        self._controller = PenaltyController(weights, schedule, proportional=30.0, follows=follows)
        self._pull = pull_by_default(self.score_init, schedule.final_density)
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

    def after_update(self, learning_rate: float) -> None:
        """The λ of the next step, where it follows the task's pull: σ'(S) is about a quarter."""
        if self._controller.follows:
            self._controller.follow(self.task_pull().mul_(self._pull / 0.25))

    def select_softly(self, density: float) -> bool:
        """Threshold, and move λ, until the pruning window ends."""
        if not self.in_window:
            return False
        weights = self.weights
        # A penalty as strong as the task's pull on the average score is where the search for λ starts.
        self._controller.seed(lambda: weights.mean_score_gradient * len(weights) / 0.25)
        select_above(weights, self._threshold, self._controller, density, ceiling=True)
        return True

    def metrics(self) -> dict[str, Tensor]:
        """λ."""
        return {"lambda": self._controller.penalty}
