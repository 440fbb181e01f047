"""LayerDrop: train with layers missing at random, then leave out evenly spaced ones."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar, cast

from pydantic import Field

from pruning_core.methods.base import Method, MethodParameters

if TYPE_CHECKING:
    from torch import Tensor

    from pruning_core.masking import MaskedWeights
    from pruning_core.schedule import Schedule
    from pruning_core.units import Units


class LayerDropParameters(MethodParameters):
    """Settings of LayerDrop."""

    rate: float = Field(default=0.2, ge=0.0, lt=1.0, description="Chance of each layer to be left out of a step.")


class LayerDrop(Method):
    """Every layer is left out of each training step with a fixed chance; the layers that go for good are spaced evenly.

    Fan, Grave & Joulin 2020 (arXiv 1909.11556), sections 3.1 and 3.2 ("Every Other"). A layer that is left out
    multiplies by zeros; its residual connections pass the input on.
    """

    name: ClassVar[str] = "layerdrop"
    summary: ClassVar[str] = "Trains with layers missing at random and removes whole layers, evenly spaced."
    source: ClassVar[str] = "Fan, Grave & Joulin 2020 (arXiv 1909.11556)"
    Parameters: ClassVar[type[MethodParameters]] = LayerDropParameters
    order: ClassVar[int] = 0
    scopes: ClassVar[tuple[str, ...]] = ("global",)
    granularities: ClassVar[tuple[str, ...]] = ("layer",)
    hides_mask: ClassVar[bool] = True
    forgets_zeros: ClassVar[str | None] = "it chooses layers by their place alone"

    def start(self, weights: MaskedWeights, schedule: Schedule) -> None:
        """Take a buffer that says which layers are present in the step, 1 or 0 each."""
        super().start(weights, schedule)
        layers = sorted({matrix.layer for matrix in weights.matrices if matrix.layer is not None})
        self._present = weights.buffers.setdefault("present", weights.weight.new_ones(len(layers)))
        numbers = {matrix.name: layers.index(matrix.layer) for matrix in weights.matrices if matrix.layer is not None}
        self._presence = [self._present[numbers[matrix.name]] for matrix in weights.matrices]  # views

    def unit_importance(self, units: Units) -> Tensor:
        """Layers that stay to the end are evenly spaced from the first to the last; of the others the last go first."""
        import torch

        count = len(units)
        keep = max(1, math.ceil(self.schedule.final_density * count - 0.5))  # as `select_units` counts them
        stay = {round(i * (count - 1) / max(1, keep - 1)) for i in range(keep)}
        ranks = [2.0 * count - i if i in stay else float(count - i) for i in range(count)]
        return torch.tensor(ranks).to(self.weights.device, non_blocking=True)

    def importance(self, scratch: Tensor) -> Tensor:
        """All alike: whole layers are ranked."""
        return scratch.zero_()

    def before_writing(self, *, training: bool) -> None:
        """Draw which layers are present; all of them where weights are judged."""
        rate = cast(LayerDropParameters, self.parameters).rate
        if training:
            self._present.uniform_().ge_(rate)
        else:
            self._present.fill_(1.0)

    def write_effective(self, out: Tensor, *, training: bool) -> None:
        """W ⊙ M, or zeros in layers that are left out."""
        super().write_effective(out, training=training)
        self._leave_out(slice(0, len(out)), out)

    def gate_gradient(self, where: slice, own: Tensor, gradient: Tensor) -> Tensor:
        """No gradient for a layer that was left out."""
        from pruning_core.products import norm_of

        super().gate_gradient(where, own, gradient)
        self._leave_out(where, gradient)
        return norm_of(gradient)

    def _leave_out(self, where: slice, values: Tensor) -> None:
        """Multiply a stretch's matrices by whether their layers are present."""
        for presence, own in zip(self._presence, self.weights.slices, strict=True):
            if where.start <= own.start < where.stop:
                values[own.start - where.start : own.stop - where.start].mul_(presence)
