"""Attention-head pruning by the sensitivity of the loss to a gate on each head."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pruning_core.methods.base import Method

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from pruning_core.masking import MaskedWeights
    from pruning_core.schedule import Schedule
    from pruning_core.units import Units


class HeadImportance(Method):
    """E|∂L/∂ξ_h|, ξ_h a gate on the output of head h, normalised within each layer.

    Michel, Levy & Neubig 2019 (arXiv 1905.10650), section 4.1. The gate scales the head's columns of the output
    projection O, so ∂L/∂ξ_h = Σ G ⊙ W over these columns. A head that goes loses its rows of Q, K and V too.
    """

    name: ClassVar[str] = "head"
    summary: ClassVar[str] = "Removes whole attention heads, those whose gate the loss feels least."
    source: ClassVar[str] = "Michel, Levy & Neubig 2019 (arXiv 1905.10650)"
    order: ClassVar[int] = 1
    observes: ClassVar[bool] = True
    granularities: ClassVar[tuple[str, ...]] = ("head",)
    reads_outputs: ClassVar[bool] = True

    def start(self, weights: MaskedWeights, schedule: Schedule) -> None:
        """Take a sum for each head."""
        super().start(weights, schedule)
        assert weights.units is not None
        self._units = weights.units
        self._sensitivity = weights.buffers.setdefault("sensitivity", weights.weight.new_zeros(len(self._units)))

    def observe(self, gradients: Sequence[Tensor]) -> None:
        """Add up G ⊙ W over each head's columns of O, and its absolute value over steps."""
        import torch

        weights = self.weights
        products = weights.scratch()
        for where, gradient in zip(weights.passes, gradients, strict=True):
            torch.mul(gradient, weights.weight[where], out=products[where])
        for matrix, where in zip(weights.matrices, weights.slices, strict=True):
            if matrix.heads is None or matrix.heads.axis != "in":
                products[where].zero_()
        self._sensitivity += self._units.sum(products).abs_()

    def importance(self, scratch: Tensor) -> Tensor:
        """|W|, whose mean ranks heads before the first gradient."""
        return scratch.copy_(self.weights.weight).abs_()

    def unit_importance(self, units: Units) -> Tensor | None:
        """Σ|∂L/∂ξ_h| divided by the L2 norm of its layer's (section 4.1, as Molchanov 2017)."""
        import torch

        if self.step == 0:
            return None
        ranks = self._sensitivity.clone()
        for family in units.families:
            ranks[family] /= torch.linalg.vector_norm(ranks[family]).clamp(min=1e-30)
        return ranks
