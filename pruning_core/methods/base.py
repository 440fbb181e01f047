"""What a pruning method is: how scores start, how they learn, and what ranks a weight.

Method files import torch for types only. The HTTP service lists methods and their parameters without carrying torch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from torch import Tensor


class MethodParameters(BaseModel):
    """A method's own settings, given as `pruning.params`; unknown names are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Method(ABC):
    """One way to decide which weights stay.

    All tensors passed in are flat and aligned: entry i of weight, score and gradient belongs to the same connection.
    `gradient` is always G = ∂L/∂(W ⊙ M), the gradient that reaches the masked weight.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    source: ClassVar[str]
    Parameters: ClassVar[type[MethodParameters]] = MethodParameters
    #: Whether the method trains a score per weight; if not, `initial_score` and `score_gradient` are never called.
    learns_scores: ClassVar[bool] = False

    def __init__(self, parameters: MethodParameters | None = None) -> None:
        """Keep the parameters, the method's defaults when none are given."""
        self.parameters = parameters if parameters is not None else self.Parameters()

    def default_score_learning_rate(self) -> float:
        """Adam's learning rate for the scores when the spec names none."""
        raise TypeError(f"Method {self.name!r} learns no scores.")

    def write_initial_score(self, weight: Tensor, score: Tensor) -> None:
        """Fill `score` (same shape as `weight`) with the values before the first step."""
        raise TypeError(f"Method {self.name!r} learns no scores.")

    def write_score_gradient(self, weight: Tensor, gradient: Tensor, out: Tensor) -> None:
        """Write ∂L/∂S into `out`, same shape as `weight`."""
        raise TypeError(f"Method {self.name!r} learns no scores.")

    @abstractmethod
    def importance(self, weight: Tensor, score: Tensor | None) -> Tensor:
        """The values that selection ranks, larger stays; may alias its inputs, never changes them."""
