"""Optimal brain damage: a diagonal second-order estimate of what a weight is worth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar, cast

from pydantic import Field

from pruning_core.methods.base import Method, MethodParameters

if TYPE_CHECKING:
    from torch import Tensor

    from pruning_core.masking import MaskedWeights
    from pruning_core.schedule import Schedule


class ObdParameters(MethodParameters):
    """Settings of optimal brain damage."""

    every: int = Field(default=10, ge=1, le=10_000, description="Optimizer steps between two looks at the curvature.")
    smoothing: float = Field(
        default=0.9, ge=0.0, le=0.9999, description="Share of the past in the curvature's average."
    )


class OptimalBrainDamage(Method):
    """½ h W² with h = ∂²L/∂W², the loss's second-order change when a weight becomes zero at a minimum.

    LeCun, Denker & Solla 1989. The diagonal of the Hessian is estimated without bias by Hutchinson's probes (1989):
    E[v ⊙ Hv] for random signs v, one Hessian-vector product each. Negative curvature counts as none. A product costs
    about as much as three ordinary steps in fp32; one is taken every `every` steps.
    """

    name: ClassVar[str] = "obd"
    summary: ClassVar[str] = "Second order, diagonal: keeps the weights of largest curvature x squared value."
    source: ClassVar[str] = "LeCun, Denker & Solla 1989 (Optimal Brain Damage)"
    Parameters: ClassVar[type[MethodParameters]] = ObdParameters
    order: ClassVar[int] = 2
    forgets: ClassVar[float] = 6.0
    computes_in_fp32: ClassVar[bool] = True

    def numbers_per_weight(self) -> int:
        """The diagonal."""
        return 1

    def start(self, weights: MaskedWeights, schedule: Schedule) -> None:
        """Take a buffer for the diagonal."""
        super().start(weights, schedule)
        self._diagonal = weights.new_buffer("curvature")
        self._looks = weights.buffers.setdefault("looks", weights.weight.new_zeros(()))

    def wants_curvature(self) -> bool:
        """Every so many steps, from the first."""
        return self.step % cast(ObdParameters, self.parameters).every == 0

    def measure_curvature(self, loss: Tensor, add_up: Callable[[Sequence[Tensor]], None]) -> None:
        """Average v ⊙ Hv for one random v."""
        import torch

        parameters = [matrix.parameter for matrix in self.weights.matrices]
        gradients = torch.autograd.grad(loss, parameters, create_graph=True, allow_unused=True)
        used = [(g, p) for g, p in zip(gradients, parameters, strict=True) if g is not None]  # type: ignore[redundant-expr]  # allow_unused gives None
        signs = [torch.randint_like(p, 2).mul_(2.0).sub_(1.0) for _, p in used]
        products = torch.autograd.grad([g for g, _ in used], [p for _, p in used], grad_outputs=signs)
        self._looks += 1
        # As in Adam: while few looks are in it, the average is of these alone.
        smoothing = cast(ObdParameters, self.parameters).smoothing
        fresh = (1.0 - smoothing) / (1.0 - smoothing**self._looks)
        samples = [v * h for v, h in zip(signs, products, strict=True)]
        add_up(samples)
        by_parameter = {id(p): sample for (_, p), sample in zip(used, samples, strict=True)}
        for parameter, where in zip(parameters, self.weights.slices, strict=True):
            sample = by_parameter.get(id(parameter))
            if sample is not None:
                flat = sample.detach().flatten()
                self._diagonal[where].add_((flat - self._diagonal[where]) * fresh)

    def importance(self, scratch: Tensor) -> Tensor:
        """½ max(h, 0) W²; |W| before the first look."""
        import torch

        if self.step == 0:
            return torch.abs(self.weights.weight, out=scratch)
        torch.clamp(self._diagonal, min=0.0, out=scratch)
        return scratch.mul_(self.weights.weight).mul_(self.weights.weight).mul_(0.5)
