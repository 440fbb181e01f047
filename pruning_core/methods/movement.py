"""Movement pruning: the weights that training moves away from zero stay."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, cast

from pydantic import Field

from pruning_core.methods.base import Method, MethodParameters

if TYPE_CHECKING:
    from torch import Tensor


class MovementParameters(MethodParameters):
    """Settings of movement pruning."""

    score_init: Literal["magnitude", "zeros"] = Field(
        default="magnitude",
        description="Where scores start. `magnitude` (|W|) survives short jobs: weights that training has not yet "
        "judged keep their pretrained rank. `zeros` is the paper's own recipe, for runs of several thousand steps.",
    )


class Movement(Method):
    """First order: M = Top_v(S), scores learned with the straight-through estimator.

    Sanh, Wolf & Rush 2020 (arXiv 2005.07683), section 4: ∂L/∂S = G ⊙ W for every weight, kept or masked, so that under
    gradient descent S falls by the accumulated G ⊙ W and rises exactly where a weight moves away from zero.
    """

    name: ClassVar[str] = "movement"
    summary: ClassVar[str] = "Keeps the weights that fine-tuning moves away from zero. Best below about 15 % density."
    source: ClassVar[str] = "Sanh, Wolf & Rush 2020 (arXiv 2005.07683), section 4"
    Parameters: ClassVar[type[MethodParameters]] = MovementParameters
    learns_scores: ClassVar[bool] = True

    @property
    def score_init(self) -> Literal["magnitude", "zeros"]:
        """Where the scores start."""
        return cast(MovementParameters, self.parameters).score_init

    def default_score_learning_rate(self) -> float:
        """5e-4 moves scores on the scale of pretrained weights; from zero the paper's 1e-2 sets the scale itself."""
        return 5e-4 if self.score_init == "magnitude" else 1e-2

    def write_initial_score(self, weight: Tensor, score: Tensor) -> None:
        """|W| or zero."""
        if self.score_init == "magnitude":
            score.copy_(weight.abs())
        else:
            score.zero_()

    def write_score_gradient(self, weight: Tensor, gradient: Tensor, out: Tensor) -> None:
        """∂L/∂S = G ⊙ W (paper, equation 4)."""
        out.copy_(gradient).mul_(weight)

    def importance(self, weight: Tensor, score: Tensor | None) -> Tensor:
        """S."""
        assert score is not None
        return score
