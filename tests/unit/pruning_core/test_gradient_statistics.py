"""Taylor, Fisher and PLATON: their ranks, against a replay of recorded gradients in NumPy."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from pruning_core.masking import MaskedWeights
from pruning_core.methods import Method
from pruning_core.methods.fisher import Fisher
from pruning_core.methods.obd import OptimalBrainDamage
from pruning_core.methods.platon import Platon, PlatonParameters
from pruning_core.methods.statistics import AverageParameters, GradientStatistic
from pruning_core.methods.taylor import Taylor
from pruning_core.schedule import Schedule
from tests.unit.pruning_core.toys import (
    TwoLayers,
    batch,
    flattened,
    in_shape,
    initial_weights,
    loss_with,
    masked,
    set_random_mask,
)

Recorded = list[tuple[NDArray[np.float64], NDArray[np.float64]]]


def trained(network: TwoLayers, weights: MaskedWeights, steps: int = 7) -> Recorded:
    """Train by SGD under changing masks; returns each step's G, from a graph of its own, and W before the step."""
    optimizer = torch.optim.SGD(weights.trained, lr=0.1)
    recorded: Recorded = []
    for step in range(steps):
        set_random_mask(weights, seed=step, share=0.5)
        effective = [part.requires_grad_() for part in in_shape(weights.weight * weights.mask)]
        gradient = flattened(list(torch.autograd.grad(loss_with(effective, batch(step)), effective)))
        recorded.append((gradient.double().numpy(), weights.weight.double().numpy().copy()))
        network(batch(step)).backward()
        weights.collect_gradients()
        optimizer.step()
        weights.method.step = step + 1
        weights.method.after_update(0.1)
        weights.drop_gradients()
    return recorded


@pytest.mark.parametrize("smoothing", [0.0, 0.6, 0.95])
@pytest.mark.parametrize("cls", [Taylor, Fisher])
def test_the_moving_average_of_the_saliency_ranks(cls: type[GradientStatistic], smoothing: float) -> None:
    network, method = TwoLayers(), cls(AverageParameters(smoothing=smoothing))
    recorded = trained(network, masked(network, method))
    average = np.zeros(56)
    for gradient, weight in recorded:
        now = np.abs(gradient * weight) if cls is Taylor else 0.5 * (gradient * weight) ** 2
        average = smoothing * average + (1 - smoothing) * now
    np.testing.assert_allclose(method.importance(torch.empty(56)).numpy(), average, rtol=1e-4, atol=1e-10)


def test_platon_multiplies_the_averaged_importance_by_its_averaged_uncertainty() -> None:
    parameters = PlatonParameters(importance_smoothing=0.7, uncertainty_smoothing=0.8)
    network, method = TwoLayers(), Platon(parameters)
    recorded = trained(network, masked(network, method))
    mean, uncertainty = np.zeros(56), np.zeros(56)
    for gradient, weight in recorded:
        now = np.abs(gradient * weight)
        mean = 0.7 * mean + 0.3 * now
        uncertainty = 0.8 * uncertainty + 0.2 * np.abs(now - mean)
    np.testing.assert_allclose(method.importance(torch.empty(56)).numpy(), mean * uncertainty, rtol=1e-4, atol=1e-12)


@pytest.mark.parametrize("method", [Taylor(), Fisher(), Platon()], ids=lambda method: str(method.name))
def test_masked_weights_go_on_being_judged(method: GradientStatistic | Platon) -> None:
    network = TwoLayers()
    weights = masked(network, method)
    set_random_mask(weights)
    network(batch()).backward()
    weights.collect_gradients()
    method.after_update(0.1)
    method.step = 1
    ranks = method.importance(torch.empty(56))
    assert bool((ranks[~weights.mask] > 0).any())


@pytest.mark.parametrize(
    "method", [Taylor(), Fisher(), Platon(), OptimalBrainDamage()], ids=lambda method: str(method.name)
)
def test_before_the_first_gradient_the_magnitude_ranks(method: Method) -> None:
    """A single cut without warm-up must not remove weights by lot."""
    masked(TwoLayers(), method, schedule=Schedule("one_shot", 20, 0, 5, 0.1))
    ranks = method.importance(torch.empty(56))
    assert torch.equal(ranks.argsort(), initial_weights().abs().argsort())
