"""Movement pruning: the weights that training moves away from zero stay."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Self, cast

from pydantic import Field

from pruning_core.methods.learned import LearnedParameters, LearnedScores, pull_by_default

if TYPE_CHECKING:
    from torch import Tensor

    from pruning_core.masking import MaskedWeights
    from pruning_core.methods.base import MethodParameters
    from pruning_core.schedule import Schedule
    from pruning_core.selection import Sizes


class MovementParameters(LearnedParameters):
    """Settings of movement pruning."""

    score_penalty: float | None = Field(
        default=None,
        ge=0.0,
        le=100.0,
        description="How hard all scores are pulled down, in units of the mean |G ⊙ W|: scores of weights that hardly "
        "matter then sink, where Adam would let them wander as far as any other. 0 is the paper's. Default: 3, and "
        "where scores start by `sensitivity` the more the less is to be left, 0.5 / density between 3 and 10.",
    )

    def settled(self, *, trained: bool, density: float) -> Self:
        """With where scores start, and how hard they are pulled down."""
        settled = super().settled(trained=trained, density=density)
        if settled.score_penalty is not None or settled.score_init is None:
            return settled
        return settled.model_copy(update={"score_penalty": pull_by_default(settled.score_init, density)})


class Movement(LearnedScores):
    """M = Top_v(S), scores learned with the straight-through estimator ("MvP" in the paper, section 4).

    With `score_init` `magnitude` what ranks is |W| + S, |W| of the moment and S from zero: a weight is worth what it
    is, and what the loss says of it. A run too short for scores to tell weights apart then prunes by magnitude, and
    never at random. `zeros` is the paper: S alone; as is `sensitivity`, but for where S starts.

    Adam moves every score as far as its gradient is steady, however small it is, and most are small and drift. A
    penalty on the scores, the same for all and a few times as strong as the mean gradient, lets these sink and leaves
    the order to those that the loss cares for, as the penalty of soft movement pruning does. On the movie reviews that
    is two points of accuracy at 10 % density, and one at 3 %.
    """

    name: ClassVar[str] = "movement"
    summary: ClassVar[str] = "Keeps the weights that fine-tuning moves away from zero. Best below about 15 % density."
    source: ClassVar[str] = "Sanh, Wolf & Rush 2020 (arXiv 2005.07683), section 4"
    Parameters: ClassVar[type[MethodParameters]] = MovementParameters

    def start(self, weights: MaskedWeights, schedule: Schedule) -> None:
        """Begin without a penalty: its strength is the mean gradient of the step before."""
        super().start(weights, schedule)
        parameters = cast(MovementParameters, self.parameters)
        settled = parameters.settled(trained=schedule.trained, density=schedule.final_density).score_penalty
        assert settled is not None
        self._strength = settled
        self._penalty = weights.buffers.setdefault("score_penalty", weights.weight.new_zeros(()))

    def write_initial_score(self, weight: Tensor, score: Tensor) -> None:
        """Zero: with `magnitude` |W| is added anew at each selection."""
        if self.score_init == "magnitude":
            score.zero_()
        else:
            super().write_initial_score(weight, score)

    def score_gradient(self, where: slice, own: Tensor, out: Tensor) -> Tensor:
        """∂L/∂S = G ⊙ W, plus the penalty's."""
        from pruning_core.products import score_gradient

        size, norm = score_gradient(own, self.weights.weight[where], self._penalty, out=out)
        self._sizes[where.start] = size
        return norm

    def after_update(self, learning_rate: float) -> None:
        """The penalty of the next step."""
        self._penalty.copy_(self.task_pull()).mul_(self._strength / len(self.weights))

    def importance(self, scratch: Tensor) -> Tensor:
        """|W| + S, or S."""
        from pruning_core.selection import written

        return written(self.ranking(scratch), scratch)

    def ranking(self, scratch: Tensor) -> Tensor | Sizes:
        """|W| + S, or S."""
        from pruning_core.selection import Sizes

        weights = self.weights
        return Sizes(weights.weight, weights.score) if self.score_init == "magnitude" else weights.score
