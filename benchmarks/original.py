"""The original's way of pruning, to compare with: masks made anew by a full sort in every forward pass.

Written after the paper's released code, huggingface/transformers `examples/research_projects/movement-pruning` (Sanh,
Wolf & Rush 2020; Apache-2.0), as long as it was there: `emmental/modules/binarizer.py`, whose `TopKBinarizer` sorts all
scores of a matrix and passes the gradient straight through, and `masked_nn.py`, whose `MaskedLinear` calls it and
multiplies in each forward. huggingface/nn_pruning kept that shape. What autograd adds is part of the price: a mask, a
product W ⊙ M and gradients of both for each matrix, alive until its backward.
"""

from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import AdamW
from transformers import PreTrainedModel

from pruning_core.prunable import base_model, prunable_matrices

#: The released command lines' rate for scores (`--mask_scores_learning_rate`).
SCORE_LEARNING_RATE = 1e-2


class _TopShare(torch.autograd.Function):
    """1 where a score is among the top share of its matrix, else 0; gradients pass as through the identity."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor, share: float) -> Tensor:  # torch gives the context no type
        mask = torch.zeros_like(scores)
        order = scores.flatten().sort(descending=True).indices
        mask.view(-1)[order[: int(share * scores.numel())]] = 1.0
        return mask

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0], None


class SortedLinear(nn.Module):
    """A linear layer that sorts its scores in each forward.

    Attributes:
        share: kept share of the weights.
    """

    def __init__(self, linear: nn.Linear) -> None:
        """Take over a layer's weights; scores start at zero, as in the released command lines."""
        super().__init__()
        self.weight = linear.weight
        self.bias = linear.bias
        self.scores = nn.Parameter(torch.zeros_like(linear.weight))
        self.share = 1.0

    def forward(self, inputs: Tensor) -> Tensor:
        """[..., in] → [..., out]."""
        mask = cast(Tensor, _TopShare.apply(self.scores, self.share))  # type: ignore[no-untyped-call]  # torch's own
        return F.linear(inputs, mask * self.weight, self.bias)


def sort_in_each_forward(model: PreTrainedModel) -> list[SortedLinear]:
    """Replace every prunable linear layer of a model in place; returns the new ones."""
    base = base_model(model)
    layers = []
    for matrix in prunable_matrices(model):
        parent, _, name = matrix.name.rpartition(".")
        linear = base.get_submodule(matrix.name)
        assert isinstance(linear, nn.Linear), f"{matrix.name} is no nn.Linear."
        layers.append(SortedLinear(linear))
        setattr(base.get_submodule(parent), name, layers[-1])
    return layers


def original_optimizer(model: PreTrainedModel, learning_rate: float) -> AdamW:
    """AdamW with the scores in a group of their own, fused like ours."""
    trained = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    groups = [
        {"params": [p for name, p in trained if name.endswith(".scores")], "lr": SCORE_LEARNING_RATE},
        {"params": [p for name, p in trained if not name.endswith(".scores")], "lr": learning_rate},
    ]
    return AdamW(groups, lr=learning_rate, weight_decay=0.0, fused=True)
