"""Wanda: weights times the size of their inputs, without any training."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pruning_core.methods.base import Method

if TYPE_CHECKING:
    from torch import Tensor

    from pruning_core.schedule import Shape


class Wanda(Method):
    """|W_ij| · ‖X_j‖₂, compared within each output row; X_j are the layer's inputs on training rows.

    Sun et al. 2023 (arXiv 2306.11695), section 3. One shot, and no training unless the spec asks for it: with epochs,
    the rest of the run trains what is left.
    """

    name: ClassVar[str] = "wanda"
    summary: ClassVar[str] = "No training needed: keeps, in each row, the largest |weight| x norm of its input."
    source: ClassVar[str] = "Sun et al. 2023 (arXiv 2306.11695)"
    order: ClassVar[int] = 0
    scopes: ClassVar[tuple[str, ...]] = ("local",)
    granularities: ClassVar[tuple[str, ...]] = ("element", "2:4")
    shapes: ClassVar[tuple[Shape, ...]] = ("one_shot",)
    works_untrained: ClassVar[bool] = True
    epochs: ClassVar[float] = 0.0
    calibrates: ClassVar[bool] = True
    computes_in_fp32: ClassVar[bool] = True
    forgets_zeros: ClassVar[str | None] = "it keeps equally many weights in each row, and zeros are spread otherwise"

    def importance(self, scratch: Tensor) -> Tensor:
        """|W| times the norm of each weight's input."""
        import torch

        weights = self.weights
        for matrix, where in zip(weights.matrices, weights.slices, strict=True):
            norms = weights.input_norms[matrix.name]  # [in]
            shaped = scratch[where].view(matrix.parameter.shape)
            torch.abs(weights.weight[where].view(matrix.parameter.shape), out=shaped)
            shaped.mul_(norms.unsqueeze(1) if matrix.transposed else norms)
        return scratch
