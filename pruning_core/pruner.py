"""One pruning step around each optimizer step: gradients in, masks out."""

from collections.abc import Iterable
from typing import Literal

import torch
from torch import Tensor, nn

from pruning_core.masking import MaskedWeights
from pruning_core.schedule import Schedule
from pruning_core.selection import kept_count, select_global, select_local


class Pruner:
    """Moves the masks along the schedule.

    Attributes:
        masked: the prunable weights with scores and masks.
        schedule: density at each step.
        scope: rank all weights together, or within each matrix.
        density: kept share now.
    """

    def __init__(self, masked: MaskedWeights, schedule: Schedule, scope: Literal["global", "local"]) -> None:
        """Begin dense, or with the first cut when the schedule has no warm-up."""
        self.masked = masked
        self.schedule = schedule
        self.scope = scope
        self.density = 1.0
        self.update_masks(step=0)

    def before_optimizer_step(self, others: Iterable[nn.Parameter], max_norm: float) -> Tensor:
        """Form the gradients of weights and scores and clip them apart: scores' are of another scale.

        Args:
            others: the model's remaining trained parameters, clipped together with the prunable weights.
            max_norm: largest L2 norm of each of the two groups.

        Returns:
            The weights' gradient norm before clipping, a scalar tensor.
        """
        self.masked.collect_gradients()
        norm = nn.utils.clip_grad_norm_([self.masked.weight, *others], max_norm)
        if self.masked.score is not None:
            nn.utils.clip_grad_norm_([self.masked.score], max_norm)
        return norm

    @torch.no_grad()
    def update_masks(self, step: int) -> None:
        """Select the weights to keep after `step` finished optimizer steps, and let the model compute with them."""
        density = self.schedule.density(step)
        masked = self.masked
        if density < 1.0:
            values = masked.importance()
            if self.scope == "global":
                select_global(values, masked.bounds, kept_count(len(masked), density), out=masked.mask)
            else:
                select_local(values, masked.bounds, density, out=masked.mask)
        self.density = density
        masked.apply()
