"""Magnitude pruning: the largest weights stay."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pruning_core.methods.base import Method

if TYPE_CHECKING:
    from torch import Tensor

    from pruning_core.selection import Sizes


class Magnitude(Method):
    """Zeroth order: M = Top_v(|W|) along the schedule, while the kept weights train.

    Han et al. 2015 with the gradual schedule of Zhu & Gupta 2017 ("MaP" in the paper, section 2).
    """

    name: ClassVar[str] = "magnitude"
    summary: ClassVar[str] = "Keeps the weights of largest absolute value. Best above about 70 % density."
    source: ClassVar[str] = "Han et al. 2015 (arXiv 1506.02626); Zhu & Gupta 2017 (arXiv 1710.01878)"
    order: ClassVar[int] = 0
    forgets: ClassVar[float] = 10.0
    works_untrained: ClassVar[bool] = True

    def importance(self, scratch: Tensor) -> Tensor:
        """|W|."""
        import torch

        return torch.abs(self.weights.weight, out=scratch)

    def ranking(self, scratch: Tensor) -> Sizes:
        """|W|."""
        from pruning_core.selection import Sizes

        return Sizes(self.weights.weight)
