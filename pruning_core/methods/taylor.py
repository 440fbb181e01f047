"""First-order Taylor pruning: the weights whose removal would change the loss most stay."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pruning_core.methods.statistics import GradientStatistic

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


class Taylor(GradientStatistic):
    """|G ⊙ W|, averaged over steps: to first order, how much the loss changes when the weight becomes zero.

    Ding et al. 2019 (arXiv 1909.12778), equation 4; Molchanov et al. 2017 (arXiv 1611.06440) for whole channels.
    """

    name: ClassVar[str] = "taylor"
    summary: ClassVar[str] = "Keeps the weights of largest |gradient x weight|: the loss's first-order change."
    source: ClassVar[str] = "Ding et al. 2019 (arXiv 1909.12778); Molchanov et al. 2017 (arXiv 1611.06440)"

    def observe(self, gradients: Sequence[Tensor]) -> None:
        """Average |G ⊙ W|."""
        for where, gradient in zip(self.weights.passes, gradients, strict=True):
            saliency = (gradient * self.weights.weight[where]).abs_()
            self._average[where].lerp_(saliency, 1.0 - self.smoothing)
