"""Where a run has been, for methods that go back there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer

    from pruning_core.masking import MaskedWeights


class Memory:
    """All that trains, as it once was; part of a checkpoint."""

    def __init__(self, weights: MaskedWeights, others: Sequence[nn.Parameter], optimizer: Optimizer) -> None:
        """Keep nothing yet.

        Args:
            weights: the prunable ones.
            others: what trains with them.
            optimizer: of all; what it knows is forgotten on the way back.
        """
        self._weights = weights
        self._others = list(others)
        self._optimizer = optimizer

    def keep(self) -> None:
        """Remember this moment."""
        buffers = self._weights.buffers
        buffers["memory/weight"] = self._weights.weight.clone()
        for number, parameter in enumerate(self._others):
            buffers[f"memory/{number}"] = parameter.detach().clone()

    def bring_back(self) -> None:
        """Go back to it, masks apart: what these have taken is zero, and so ranks last from now on."""
        from pruning_core.products import multiply_by_mask

        buffers = self._weights.buffers
        multiply_by_mask(buffers["memory/weight"], self._weights.mask, out=self._weights.weight)
        for number, parameter in enumerate(self._others):
            parameter.detach().copy_(buffers[f"memory/{number}"])
        for state in self._optimizer.state.values():
            for tensor in state.values():
                tensor.zero_()
