"""Fisher pruning: squared gradients of the mask, averaged."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pruning_core.methods.statistics import GradientStatistic

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


class Fisher(GradientStatistic):
    """½ E[(G ⊙ W)²]: G ⊙ W is the gradient of the mask, whose Fisher information stands for the loss's curvature in it.

    Theis et al. 2018 (arXiv 1801.05787), equation 7. One batch's mean gradient is one sample of the expectation.
    """

    name: ClassVar[str] = "fisher"
    summary: ClassVar[str] = "Keeps the weights whose mask has the largest mean squared gradient."
    source: ClassVar[str] = "Theis et al. 2018 (arXiv 1801.05787)"

    def observe(self, gradients: Sequence[Tensor]) -> None:
        """Average ½ (G ⊙ W)²."""
        for where, gradient in zip(self.weights.passes, gradients, strict=True):
            saliency = gradient * self.weights.weight[where]
            self._average[where].lerp_(saliency.square_().mul_(0.5), 1.0 - self.smoothing)
