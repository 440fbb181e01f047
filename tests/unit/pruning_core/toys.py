"""A network small enough to write out by hand, and its masked weights."""

import torch
from torch import Tensor, nn

from pruning_core.masking import MaskedWeights
from pruning_core.methods import Method
from pruning_core.prunable import Matrix
from pruning_core.schedule import Schedule

#: Dense for 10 steps, a window of 60, final for 30.
SCHEDULE = Schedule("cubic", 100, 10, 30, 0.1)
#: Entries of the flat tensors that belong to the first matrix, [7, 5], and to the second, [3, 7].
FIRST, SECOND = slice(0, 35), slice(35, 56)


class TwoLayers(nn.Module):
    """A classifier of four rows whose classes are fixed; always of the same numbers."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.first = nn.Linear(5, 7)
            self.second = nn.Linear(7, 3)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.cross_entropy(self.second(torch.tanh(self.first(x))), torch.arange(4) % 3)


def matrices(network: TwoLayers) -> list[Matrix]:
    """Both of its matrices."""
    return [Matrix(name, network.get_parameter(f"{name}.weight")) for name in ("first", "second")]


def batch(seed: int = 1) -> Tensor:
    """[4, 5] inputs."""
    return torch.randn(4, 5, generator=torch.Generator().manual_seed(seed))


def masked(
    network: TwoLayers, method: Method, *, schedule: Schedule = SCHEDULE, frozen: bool = False, step: int = 0
) -> MaskedWeights:
    """The network's masked weights at a step of a run."""
    weights = MaskedWeights(matrices(network), method, frozen=frozen)
    method.start(weights, schedule)
    method.step = step
    return weights


def set_random_mask(weights: MaskedWeights, seed: int = 2, share: float = 0.4) -> None:
    """Keep about that share, chosen by lot, and let the network compute with it."""
    weights.mask.copy_(torch.rand(len(weights), generator=torch.Generator().manual_seed(seed)) < share)
    weights.apply()


def in_shape(flat: Tensor) -> list[Tensor]:
    """Flat values as the two matrices."""
    return [flat[FIRST].view(7, 5), flat[SECOND].view(3, 7)]


def flattened(tensors: list[Tensor]) -> Tensor:
    """The two matrices' values as one."""
    return torch.cat([tensor.flatten() for tensor in tensors])


def loss_with(effective: list[Tensor], x: Tensor) -> Tensor:
    """The loss of the network with other weights: plain autograd, nothing of ours."""
    named = {"first.weight": effective[0], "second.weight": effective[1]}
    loss = torch.func.functional_call(TwoLayers(), named, (x,))
    assert isinstance(loss, Tensor)
    return loss


def initial_weights() -> Tensor:
    """W before training, flat."""
    network = TwoLayers()
    return flattened([network.first.weight.detach(), network.second.weight.detach()]).clone()


def gradient_of(weights: MaskedWeights) -> Tensor:
    """∂L/∂W, after `collect_gradients`."""
    return torch.cat([parameter.grad for parameter in weights.trained if parameter.grad is not None])


def set_gradient(weights: MaskedWeights, gradient: Tensor) -> None:
    """Let G be what it is told, [n]."""
    for where, own in zip(weights.passes, weights.gradients, strict=True):
        own.copy_(gradient[where])


def score_gradient_of(weights: MaskedWeights) -> Tensor:
    """∂L/∂S, after `collect_gradients`."""
    return torch.cat([part.grad for part in weights.trained_scores if part.grad is not None])
