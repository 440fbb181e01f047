"""Masked weights without a forked model: the model computes with W ⊙ M, while W, S and M live beside it.

Each prunable `nn.Parameter` of the model *is* the effective weight W ⊙ M. Backward leaves G = ∂L/∂(W ⊙ M) in its
`.grad`, for every entry, masked or not: all that any first-order method needs (paper, section 4). Once per optimizer
step the gradients of W and S are formed from it, and once the effective weights are refreshed. ADR 0002 says why this
is simpler and cheaper than a parametrization.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pruning_core.methods import Method
from pruning_core.prunable import Matrix


class MaskedWeights:
    """Dense weights, scores and masks of all prunable matrices, each in one flat tensor.

    Attributes:
        matrices: the prunable matrices, in the model's order.
        bounds: (start, stop) of each matrix in the flat tensors.
        weight: W, [n] fp32, trained by the optimizer.
        score: S, [n] fp32, trained by the optimizer; None for methods without scores.
        mask: M, [n] bool; starts all True.
    """

    def __init__(self, matrices: Sequence[Matrix], method: Method) -> None:
        """Copy the model's weights; the model computes the same until `apply` is called with another mask."""
        self.matrices = list(matrices)
        self.method = method
        self.bounds: list[tuple[int, int]] = []
        start = 0
        for matrix in self.matrices:
            self.bounds.append((start, start + matrix.parameter.numel()))
            start += matrix.parameter.numel()
        flat = torch.cat([matrix.parameter.detach().float().flatten() for matrix in self.matrices])
        self.weight = nn.Parameter(flat)
        self.mask = torch.ones_like(flat, dtype=torch.bool)
        self.score: nn.Parameter | None = None
        if method.learns_scores:
            self.score = nn.Parameter(torch.empty_like(flat))
            with torch.no_grad():
                for start, stop in self.bounds:
                    method.write_initial_score(self.weight[start:stop], self.score[start:stop])

    def __len__(self) -> int:
        """Number of prunable weights."""
        return self.weight.numel()

    def kept(self) -> list[int]:
        """Kept weights of each matrix."""
        return [int(torch.count_nonzero(self.mask[start:stop])) for start, stop in self.bounds]

    def importance(self) -> Tensor:
        """[n] what the method ranks."""
        return self.method.importance(self.weight.detach(), None if self.score is None else self.score.detach())

    @torch.no_grad()
    def collect_gradients(self) -> None:
        """Form ∂L/∂W = G ⊙ M and ∂L/∂S from the G that backward left on the model's parameters.

        Straight-through: the mask is a constant for S's gradient too, so masked weights go on being judged.
        """
        if self.weight.grad is None:
            self.weight.grad = torch.empty_like(self.weight)
            if self.score is not None:
                self.score.grad = torch.empty_like(self.score)
        for matrix, (start, stop) in zip(self.matrices, self.bounds, strict=True):
            gradient = matrix.parameter.grad
            if gradient is None:  # the matrix took no part in this step's loss
                self.weight.grad[start:stop].zero_()
                if self.score is not None and self.score.grad is not None:
                    self.score.grad[start:stop].zero_()
                continue
            g = gradient.detach().flatten()
            if self.score is not None and self.score.grad is not None:
                self.method.write_score_gradient(self.weight[start:stop], g, out=self.score.grad[start:stop])
            torch.mul(g, self.mask[start:stop], out=self.weight.grad[start:stop])
            matrix.parameter.grad = None

    @torch.no_grad()
    def apply(self) -> None:
        """Write W ⊙ M into the model."""
        for matrix, (start, stop) in zip(self.matrices, self.bounds, strict=True):
            torch.mul(self.weight[start:stop], self.mask[start:stop], out=matrix.parameter.view(-1))

    @torch.no_grad()
    def settle(self) -> None:
        """End the run: masked weights become exact zeros, also in W, where Adam's momentum still moved them."""
        self.weight.mul_(self.mask).add_(0.0)  # + 0.0 turns -0.0 into 0.0, which compresses better
        self.apply()
