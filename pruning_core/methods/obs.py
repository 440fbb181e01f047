"""Optimal brain surgeon in blocks (oBERT): second order with the correlations of neighbouring weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

from pydantic import Field

from pruning_core.methods.base import Method, MethodParameters

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from pruning_core.masking import MaskedWeights
    from pruning_core.schedule import Schedule


#: What fewer steps say of the curvature is noise: of sentence pairs cut to 3 % in 60 steps, and fitted to the dense
#: model, 0.51 stays with one selection at the end of the 24 steps' window, 0.38 with three and 0.34 with ten.
LEAST_GRADIENTS = 20


class ObsParameters(MethodParameters):
    """Settings of block optimal brain surgeon."""

    block_size: int = Field(
        default=16, ge=1, le=64, description="Weights per block of the Fisher matrix; memory is this many floats each."
    )
    dampening: float = Field(
        default=1e-7, ge=1e-12, le=1.0, description="Added to the Fisher matrix's diagonal before it is inverted."
    )
    updates: int = Field(
        default=10,
        ge=1,
        le=1000,
        description="How often the masks are selected in the window, as far as each time can look at the gradients of "
        f"{LEAST_GRADIENTS} steps.",
    )


class OptimalBrainSurgeon(Method):
    """W² / (2 [F⁻¹]ᵢᵢ), F the empirical Fisher matrix in diagonal blocks of neighbouring weights.

    Hassibi & Stork 1993; Kurtic et al. 2022 (oBERT, arXiv 2203.07259), equations 3 to 8. F⁻¹ takes in each step's
    gradient by the Sherman-Morrison formula; masks are selected `updates` times in the window, and F begins anew after
    each. When weights go, those that stay in their block make up for them: δW = -F⁻¹[:,Q] (F⁻¹[Q,Q])⁻¹ W_Q.
    """

    name: ClassVar[str] = "obs"
    summary: ClassVar[str] = "Second order in blocks, as oBERT: weighs correlations, and lets neighbours make up."
    source: ClassVar[str] = "Hassibi & Stork 1993; Kurtic et al. 2022 (oBERT, arXiv 2203.07259)"
    Parameters: ClassVar[type[MethodParameters]] = ObsParameters
    order: ClassVar[int] = 2
    observes: ClassVar[bool] = True
    forgets: ClassVar[float] = 4.0
    granularities: ClassVar[tuple[str, ...]] = ("element",)

    def numbers_per_weight(self) -> int:
        """Its row of the inverse Fisher block."""
        return cast(ObsParameters, self.parameters).block_size

    def start(self, weights: MaskedWeights, schedule: Schedule) -> None:
        """Take the inverse Fisher blocks, [blocks, b, b]; the last one is filled up with weights that are not there."""
        super().start(weights, schedule)
        parameters = cast(ObsParameters, self.parameters)
        self._size = parameters.block_size
        self._blocks = -(-len(weights) // self._size)
        shape = (self._blocks, self._size, self._size)
        self._inverse = weights.buffers.setdefault("inverse_fisher", weights.weight.new_zeros(shape))
        window = max(1, schedule.total_steps - schedule.cooldown_steps - schedule.warmup_steps)
        self._every = window // max(1, min(parameters.updates, window // LEAST_GRADIENTS))
        # The last selection; a one-shot cut may come after the window.
        self._end = max(schedule.warmup_steps, schedule.total_steps - schedule.cooldown_steps)
        self._reset()

    def _reset(self) -> None:
        """F = dampening · I."""
        import torch

        dampening = cast(ObsParameters, self.parameters).dampening
        self._inverse.copy_(torch.eye(self._size, device=self._inverse.device).expand_as(self._inverse) / dampening)

    def _is_due(self) -> bool:
        """Whether masks are selected after this step."""
        since = self.step - self.schedule.warmup_steps
        return self.step == self._end or (since >= 0 and self.step < self._end and since % self._every == 0)

    def observe(self, gradients: Sequence[Tensor]) -> None:
        """Take G into F⁻¹, F = dampening·I + 1/m Σ g gᵀ."""
        import torch
        import torch.nn.functional as F

        if self.step < self._end:
            gradient = torch.cat(list(gradients))  # a block may reach from one matrix into the next
            g = F.pad(gradient, (0, self._blocks * self._size - len(gradient))).view(self._blocks, self._size, 1)
            product = torch.bmm(self._inverse, g)  # [blocks, b, 1]
            scale = (g.transpose(1, 2) @ product).add_(float(self._every))
            self._inverse.sub_(torch.bmm(product / scale, product.transpose(1, 2)))

    def after_update(self, learning_rate: float) -> None:
        """What has gone rests at zero: momentum would move it on, and the next selection make up for it once more."""
        from pruning_core.products import multiply_by_mask

        multiply_by_mask(self.weights.weight, self.weights.mask, out=self.weights.weight)

    def importance(self, scratch: Tensor) -> Tensor:
        """W² / (2 [F⁻¹]ᵢᵢ); where gradients are huge, rounding may leave a diagonal that is not even positive."""
        weight = self.weights.weight
        diagonal = self._inverse.diagonal(dim1=1, dim2=2).reshape(-1)[: len(weight)].clamp(min=1e-30)
        return scratch.copy_(weight).square_().div_(diagonal).mul_(0.5)

    def select_softly(self, density: float) -> bool:
        """Keep the masks between two selections."""
        return density < 1.0 and self.in_window and not self._is_due()

    def after_selection(self) -> None:
        """Let the weights that stay make up for those that go, and begin F anew."""
        if not self._is_due():
            return
        self._make_up()
        self._reset()

    def _make_up(self) -> None:
        """δW for all blocks at once, a slice of blocks at a time."""
        import torch
        import torch.nn.functional as F

        weight, mask = self.weights.weight, self.weights.mask
        filler = self._blocks * self._size - len(weight)
        going = F.pad((~mask & (weight != 0)), (0, filler)).view(self._blocks, self._size)
        values = F.pad(weight, (0, filler)).view(self._blocks, self._size)
        changed = torch.empty_like(values)
        identity = torch.eye(self._size, device=weight.device)
        for start in range(0, self._blocks, _BLOCKS_AT_ONCE):
            part = slice(start, start + _BLOCKS_AT_ONCE)
            gone = going[part]
            both = gone.unsqueeze(2) & gone.unsqueeze(1)
            # Rows and columns of weights that stay are the identity's, so that one solve serves blocks of any pattern.
            system = torch.where(both, self._inverse[part], identity)
            removed = torch.where(gone, values[part], 0.0).unsqueeze(2)
            factor, _ = torch.linalg.solve_ex(system, removed)  # `solve` waits for the device to say that it went well
            delta = torch.bmm(self._inverse[part], factor * gone.unsqueeze(2)).squeeze(2)
            changed[part] = torch.where(gone, 0.0, values[part] - delta)
        weight.copy_(changed.view(-1)[: len(weight)])
        weight.mul_(mask)


#: Blocks solved together, to bound the memory of the solver's copies.
_BLOCKS_AT_ONCE = 65_536
