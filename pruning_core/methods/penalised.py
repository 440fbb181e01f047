"""What the methods share whose scores a penalty λ·R(S) pulls down."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pruning_core.methods.controller import PenaltyController
from pruning_core.methods.learned import LearnedScores, pull_by_default

if TYPE_CHECKING:
    from pruning_core.masking import MaskedWeights
    from pruning_core.schedule import Schedule, Shape

#: σ'(0): how steep R is, n times, where scores are about zero.
STEEPNESS = 0.25


class PenalisedScores(LearnedScores):
    """λ is searched by a controller, so that the density follows the schedule's.

    Where weights are frozen in a run that prunes its dense baseline, masks alone have to make up for what goes, and
    learn from what the task says of them: a λ that drowns it, as one that is searched does within a hundred steps,
    leaves the order that scores started in. There λ is as strong as the pull of hard movement pruning, a few times the
    task's own, for as long as scores are learned. Longer runs of a model as it was given are better off with the
    search: movie reviews at 3 % density, 940 steps, 0.81 for 0.78.
    """

    scopes: ClassVar[tuple[str, ...]] = ("global",)
    granularities: ClassVar[tuple[str, ...]] = ("element",)
    shapes: ClassVar[tuple[Shape, ...]] = ("cubic", "linear")

    def start(self, weights: MaskedWeights, schedule: Schedule) -> None:
        """Begin without a penalty."""
        super().start(weights, schedule)
        follows = weights.frozen and schedule.trained
        self._controller = PenaltyController(weights, schedule, proportional=30.0, follows=follows)
        self._pull = pull_by_default(self.score_init, schedule.final_density)

    def seed_penalty(self) -> None:
        """Let the search for λ start where the penalty is as strong as the task's pull on the average score."""
        weights = self.weights
        self._controller.seed(lambda: weights.mean_score_gradient * len(weights) / STEEPNESS)

    def after_update(self, learning_rate: float) -> None:
        """The λ of the next step, where it follows the task's pull."""
        if self._controller.follows:
            self._controller.follow(self.task_pull().mul_(self._pull / STEEPNESS))
