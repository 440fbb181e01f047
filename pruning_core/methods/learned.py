"""What the methods with learned scores share: where scores start, and their straight-through gradient."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar, Literal, Self, cast

from pydantic import Field

from pruning_core.methods.base import Method, MethodParameters

if TYPE_CHECKING:
    from torch import Tensor

    from pruning_core.masking import MaskedWeights
    from pruning_core.schedule import Schedule

ScoreInit = Literal["magnitude", "sensitivity", "zeros"]


class LearnedParameters(MethodParameters):
    """Settings of methods that learn scores."""

    score_init: ScoreInit | None = Field(
        default=None,
        description="Where scores start. `magnitude` (|W|): weights that training has not yet judged keep their rank. "
        "`sensitivity`: the values of |W| in the order of |G * W| over the first batches, for a model that knows its "
        "task. `zeros` is the paper's own recipe, for runs of several thousand steps. Default: `sensitivity` where the "
        "dense model is pruned (`training.start_from`) and where a short run freezes weights, else `magnitude`.",
    )

    def settled(self, *, trained: bool, density: float) -> Self:
        """With where scores start."""
        if self.score_init is not None:
            return self
        return self.model_copy(update={"score_init": "sensitivity" if trained else "magnitude"})


#: The mean |G ⊙ W| times so much is what pulls scores down by default; the most of it, and its product with the
#: density, where scores start by sensitivity.
_PULL, _MOST_PULL, _PULL_BY_DENSITY = 3.0, 10.0, 0.5


def pull_by_default(score_init: ScoreInit, density: float) -> float:
    """How hard all scores are pulled down, in units of the mean |G ⊙ W|.

    60 steps of sentence pairs at 3 % density end at one class with 3, at 0.5 with 10, dense at 0.61.
    """
    if score_init != "sensitivity":
        return _PULL
    return min(_MOST_PULL, max(_PULL, round(_PULL_BY_DENSITY / density, 2)))


class LearnedScores(Method):
    """First order: a score per weight, trained by Adam with the straight-through estimator.

    Sanh, Wolf & Rush 2020 (arXiv 2005.07683), section 4: ∂L/∂S = G ⊙ W for every weight, kept or masked, so that under
    gradient descent S falls by the accumulated G ⊙ W and rises exactly where a weight moves away from zero.
    """

    Parameters: ClassVar[type[MethodParameters]] = LearnedParameters
    order: ClassVar[int] = 1
    learns_scores: ClassVar[bool] = True
    scopes: ClassVar[tuple[str, ...]] = ("global", "local", "budget")

    #: About how far scores that start at |W| can move in a run, in the weights' own unit; pretrained encoders have
    #: weights of 0.04 to 0.09 root mean square.
    TRAVEL: ClassVar[float] = 0.25
    #: Most that one step may move such a score: more, and short runs collapse.
    FASTEST: ClassVar[float] = 5e-4
    #: The same for scores that start by sensitivity: an order of the first batches, which has to be learnt anew as
    #: weights go.
    TRAVEL_BY_SENSITIVITY: ClassVar[float] = 0.1
    FASTEST_BY_SENSITIVITY: ClassVar[float] = 1e-2

    @property
    def score_init(self) -> ScoreInit:
        """Where the scores start."""
        return cast(LearnedParameters, self.parameters).score_init or "magnitude"

    def start(self, weights: MaskedWeights, schedule: Schedule) -> None:
        """Begin with the scores."""
        super().start(weights, schedule)
        weights.start_scores()
        self._sizes: dict[int, Tensor] = {}

    def default_score_learning_rate(self, total_steps: int, *, frozen: bool = False) -> float:
        """The rate that moves scores as far as they have to go in the run; from zero the paper's 1e-2 sets the scale.

        On sentence pairs 100 steps at 3 % density end at 0.43 where scores that start by sensitivity move 0.05 in all,
        at 0.55 where they move 0.2, dense at 0.73.
        """
        if self.score_init == "zeros":
            return 1e-2
        travel, fastest = self.TRAVEL, self.FASTEST
        if self.score_init == "sensitivity":
            travel, fastest = self.TRAVEL_BY_SENSITIVITY, self.FASTEST_BY_SENSITIVITY
        return float(f"{min(fastest, 2 * travel / max(1, total_steps)):.2g}")

    def write_initial_score(self, weight: Tensor, score: Tensor) -> None:
        """|W| or zero."""
        if self.score_init == "zeros":
            score.zero_()
        else:
            score.copy_(weight).abs_()

    def task_pull(self) -> Tensor:
        """Σ|G ⊙ W| of the last backward, without what else pulls, where `score_gradient` has left it; a scalar."""
        import torch

        sizes = [self._sizes[where.start] for where in self.weights.passes]  # threads finish in any order
        return torch.stack(sizes).sum()

    @abstractmethod
    def score_gradient(self, where: slice, own: Tensor, out: Tensor) -> Tensor:
        """∂L/∂S = G ⊙ W (paper, equation 4), and what else pulls."""

    def importance(self, scratch: Tensor) -> Tensor:
        """S."""
        return self.weights.score
