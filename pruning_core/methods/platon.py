"""PLATON: importance times how uncertain it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

from pydantic import Field

from pruning_core.methods.base import Method, MethodParameters

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from pruning_core.masking import MaskedWeights
    from pruning_core.schedule import Schedule


class PlatonParameters(MethodParameters):
    """Settings of PLATON."""

    importance_smoothing: float = Field(
        default=0.85, ge=0.0, lt=1.0, description="Share of the past in the importance's moving average (β1)."
    )
    uncertainty_smoothing: float = Field(
        default=0.95, ge=0.0, lt=1.0, description="Share of the past in the uncertainty's moving average (β2)."
    )


class Platon(Method):
    """Īₜ ⊙ Ūₜ with Iₜ = |G ⊙ W|, Īₜ = β1·Īₜ₋₁ + (1-β1)·Iₜ, Uₜ = |Iₜ - Īₜ|, Ūₜ = β2·Ūₜ₋₁ + (1-β2)·Uₜ.

    Zhang et al. 2022 (arXiv 2206.12562), equations 6 to 9: a weight whose importance swings is kept, because one batch
    may have misjudged it.
    """

    name: ClassVar[str] = "platon"
    summary: ClassVar[str] = "Keeps the weights that matter or may come to matter: importance times its uncertainty."
    source: ClassVar[str] = "Zhang et al. 2022 (arXiv 2206.12562)"
    Parameters: ClassVar[type[MethodParameters]] = PlatonParameters
    order: ClassVar[int] = 1
    observes: ClassVar[bool] = True

    def numbers_per_weight(self) -> int:
        """Two averages."""
        return 2

    def start(self, weights: MaskedWeights, schedule: Schedule) -> None:
        """Take two buffers."""
        super().start(weights, schedule)
        self._importance = weights.new_buffer("importance")
        self._uncertainty = weights.new_buffer("uncertainty")

    def observe(self, gradients: Sequence[Tensor]) -> None:
        """Move both averages."""
        parameters = cast(PlatonParameters, self.parameters)
        for where, gradient in zip(self.weights.passes, gradients, strict=True):
            now = (gradient * self.weights.weight[where]).abs_()
            mean = self._importance[where].lerp_(now, 1.0 - parameters.importance_smoothing)
            self._uncertainty[where].lerp_(now.sub_(mean).abs_(), 1.0 - parameters.uncertainty_smoothing)

    def importance(self, scratch: Tensor) -> Tensor:
        """Ī ⊙ Ū; |W| before the first gradient."""
        import torch

        if self.step == 0:
            return torch.abs(self.weights.weight, out=scratch)
        return torch.mul(self._importance, self._uncertainty, out=scratch)
