"""Masked weights, against an explicit autograd graph and the paper's formula for accumulated scores."""

import pytest
import torch
from torch import Tensor, nn

from pruning_core.masking import MaskedWeights
from pruning_core.methods import METHODS, Method
from pruning_core.methods.movement import Movement, MovementParameters
from pruning_core.prunable import Matrix


class TwoLayers(nn.Module):
    """A network small enough to write out by hand."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Linear(5, 7)
        self.second = nn.Linear(7, 3)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.cross_entropy(self.second(torch.tanh(self.first(x))), torch.arange(4) % 3)


def matrices(network: TwoLayers) -> list[Matrix]:
    return [Matrix(name, network.get_parameter(f"{name}.weight")) for name in ("first", "second")]


def batch(seed: int = 1) -> Tensor:
    return torch.randn(4, 5, generator=torch.Generator().manual_seed(seed))


def random_mask(masked: MaskedWeights) -> None:
    masked.mask = torch.rand(len(masked), generator=torch.Generator().manual_seed(2)) < 0.4
    masked.apply()


def test_gradients_equal_those_of_a_graph_that_multiplies_by_the_mask() -> None:
    network = TwoLayers()
    masked = MaskedWeights(matrices(network), Movement())
    random_mask(masked)
    network(batch()).backward()
    masked.collect_gradients()

    reference = TwoLayers()
    weights = [reference.first.weight.detach().clone().requires_grad_(), reference.second.weight.detach().clone()]
    weights[1].requires_grad_()
    masks = [masked.mask[:35].view(7, 5).float().requires_grad_(), masked.mask[35:].view(3, 7).float().requires_grad_()]
    parameters = {"first.weight": weights[0] * masks[0], "second.weight": weights[1] * masks[1]}
    torch.func.functional_call(reference, parameters, (batch(),)).backward()

    # ∂L/∂M = G ⊙ W is what the straight-through estimator passes on to S, for masked entries too
    expected_weight = torch.cat([w.grad.flatten() for w in weights if w.grad is not None])
    expected_score = torch.cat([m.grad.flatten() for m in masks if m.grad is not None])
    assert masked.weight.grad is not None
    assert masked.score is not None
    assert masked.score.grad is not None
    torch.testing.assert_close(masked.weight.grad, expected_weight)
    torch.testing.assert_close(masked.score.grad, expected_score)
    assert bool((masked.score.grad[~masked.mask] != 0).any())


def test_scores_accumulate_minus_alpha_times_gradient_times_weight() -> None:
    """S_T = -α Σ_t G⊙W under plain gradient descent (paper, equation 5), with a mask that changes on the way."""
    network, alpha = TwoLayers(), 0.1
    masked = MaskedWeights(matrices(network), Movement(MovementParameters(score_init="zeros")))
    assert masked.score is not None
    optimizer = torch.optim.SGD([masked.weight, masked.score], lr=alpha)

    weights = [w.detach().clone() for w in (TwoLayers().first.weight, TwoLayers().second.weight)]
    total = [torch.zeros_like(w) for w in weights]
    reference = TwoLayers()
    for step in range(6):
        masked.mask = torch.rand(len(masked), generator=torch.Generator().manual_seed(step)) < 0.5
        masked.apply()
        network(batch(step)).backward()
        masked.collect_gradients()
        optimizer.step()
        network.zero_grad()

        masks = [masked.mask[:35].view(7, 5), masked.mask[35:].view(3, 7)]
        effective = [(w * m).requires_grad_() for w, m in zip(weights, masks, strict=True)]
        named = {"first.weight": effective[0], "second.weight": effective[1]}
        gradients = torch.autograd.grad(torch.func.functional_call(reference, named, (batch(step),)), effective)
        total = [t + g * w for t, g, w in zip(total, gradients, weights, strict=True)]
        weights = [w - alpha * g * m for w, g, m in zip(weights, gradients, masks, strict=True)]

    torch.testing.assert_close(masked.score.detach(), -alpha * torch.cat([t.flatten() for t in total]))
    torch.testing.assert_close(masked.weight.detach(), torch.cat([w.flatten() for w in weights]))


def test_gradient_accumulation_sums_before_the_scores_are_judged() -> None:
    network = TwoLayers()
    masked = MaskedWeights(matrices(network), Movement())
    random_mask(masked)
    network(batch(1)).backward()
    network(batch(2)).backward()
    masked.collect_gradients()
    twice = masked.weight.grad
    parts = []
    for seed in (1, 2):
        single = TwoLayers()
        other = MaskedWeights(matrices(single), Movement())
        random_mask(other)
        single(batch(seed)).backward()
        other.collect_gradients()
        assert other.weight.grad is not None
        parts.append(other.weight.grad)
    assert twice is not None
    torch.testing.assert_close(twice, parts[0] + parts[1])


@pytest.mark.parametrize("name", list(METHODS))
def test_without_pruning_a_step_equals_plain_fine_tuning(name: str) -> None:
    network, plain = TwoLayers(), TwoLayers()
    method: Method = METHODS[name]()
    masked = MaskedWeights(matrices(network), method)
    optimizer = torch.optim.SGD([masked.weight, network.first.bias, network.second.bias], lr=0.5)
    reference = torch.optim.SGD(plain.parameters(), lr=0.5)
    network(batch()).backward()
    plain(batch()).backward()
    masked.collect_gradients()
    optimizer.step()
    reference.step()
    masked.apply()
    torch.testing.assert_close(network.first.weight, plain.first.weight)
    torch.testing.assert_close(network.second.bias, plain.second.bias)


def test_a_matrix_outside_the_loss_gets_no_stale_gradient() -> None:
    network = TwoLayers()
    masked = MaskedWeights(matrices(network), Movement())
    network(batch()).backward()
    masked.collect_gradients()
    network.first(batch()).sum().backward()
    masked.collect_gradients()
    assert masked.weight.grad is not None
    assert masked.score is not None
    assert masked.score.grad is not None
    assert not bool(masked.weight.grad[35:].any())
    assert not bool(masked.score.grad[35:].any())


def test_settling_leaves_exact_positive_zeros() -> None:
    network = TwoLayers()
    masked = MaskedWeights(matrices(network), Movement())
    random_mask(masked)
    masked.settle()
    dead = network.first.weight.detach().flatten()[~masked.mask[:35]]
    assert torch.equal(torch.copysign(torch.ones_like(dead), dead), torch.ones_like(dead))
    assert not bool(dead.any())


def test_scores_start_from_the_magnitude_or_from_zero() -> None:
    weights = torch.cat([TwoLayers().first.weight.flatten(), TwoLayers().second.weight.flatten()])
    default = MaskedWeights(matrices(TwoLayers()), Movement())
    paper = MaskedWeights(matrices(TwoLayers()), Movement(MovementParameters(score_init="zeros")))
    assert default.score is not None
    assert paper.score is not None
    assert torch.equal(default.score.detach(), weights.detach().abs())
    assert not bool(paper.score.any())
