"""What the methods that watch gradients share: a moving average over the steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

from pydantic import Field

from pruning_core.methods.base import Method, MethodParameters

if TYPE_CHECKING:
    from torch import Tensor

    from pruning_core.masking import MaskedWeights
    from pruning_core.schedule import Schedule


class AverageParameters(MethodParameters):
    """Settings of methods that average over steps."""

    smoothing: float = Field(
        default=0.95, ge=0.0, lt=1.0, description="Share of the past in the moving average; 0 sees one step only."
    )


class GradientStatistic(Method):
    """Importance is a moving average of the saliency that each step's gradient gives, also to masked weights."""

    Parameters: ClassVar[type[MethodParameters]] = AverageParameters
    order: ClassVar[int] = 1
    observes: ClassVar[bool] = True

    def numbers_per_weight(self) -> int:
        """The average."""
        return 1

    def start(self, weights: MaskedWeights, schedule: Schedule) -> None:
        """Take a buffer for the average. Until the first gradient, |W| ranks."""
        super().start(weights, schedule)
        self._average = weights.new_buffer("average")

    @property
    def smoothing(self) -> float:
        """Share of the past in the average."""
        return cast(AverageParameters, self.parameters).smoothing

    def importance(self, scratch: Tensor) -> Tensor:
        """The average; |W| before the first step."""
        if self.step == 0:
            return scratch.copy_(self.weights.weight).abs_()
        return self._average
