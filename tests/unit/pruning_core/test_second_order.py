"""Second-order methods, against finite differences and the closed form of the constrained quadratic problem."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from pruning_core.masking import MaskedWeights
from pruning_core.methods.obd import ObdParameters, OptimalBrainDamage
from pruning_core.methods.obs import ObsParameters, OptimalBrainSurgeon
from pruning_core.ranks import OneRank
from pruning_core.schedule import Schedule
from tests.unit.pruning_core.toys import (
    SCHEDULE,
    TwoLayers,
    batch,
    in_shape,
    initial_weights,
    masked,
    set_gradient,
    set_random_mask,
)

Matrix64 = NDArray[np.float64]

#: What adds up over one device.
ALONE = OneRank(torch.device("cpu")).add_up

# --- optimal brain damage ------------------------------------------------------------------------------------------


@torch.no_grad()
def second_differences(weight: torch.Tensor) -> torch.Tensor:
    """∂²L/∂W² entry by entry, by central differences in fp64."""
    network, x, step = TwoLayers().double(), batch().double(), 1e-4
    named = dict(network.named_parameters())

    def loss(flat: torch.Tensor) -> float:
        first, second = in_shape(flat)
        return float(torch.func.functional_call(network, named | {"first.weight": first, "second.weight": second}, x))

    flat, found = weight.double(), torch.zeros(56, dtype=torch.float64)
    for i, e in enumerate(step * torch.eye(56, dtype=torch.float64)):
        found[i] = (loss(flat + e) - 2 * loss(flat) + loss(flat - e)) / step**2
    return found


@pytest.mark.parametrize("pruned", [False, True])
def test_many_probes_average_to_the_diagonal_of_the_hessian(pruned: bool) -> None:
    """At the masked weights, for masked entries too. Each probe is unbiased: five standard errors are allowed."""
    network = TwoLayers()
    method = OptimalBrainDamage(ObdParameters(smoothing=0.0))  # so that the buffer holds the last probe alone
    weights = masked(network, method)
    if pruned:
        set_random_mask(weights)
    torch.manual_seed(0)
    probes = []
    for _ in range(1500):
        method.measure_curvature(network(batch()), ALONE)
        probes.append(weights.buffers["curvature"].clone())
    samples = torch.stack(probes).double()
    expected = second_differences(torch.where(weights.mask, initial_weights(), 0.0))
    error = samples.std(dim=0) / len(samples) ** 0.5
    assert bool(((samples.mean(dim=0) - expected).abs() <= 5 * error + 1e-5).all())
    assert np.corrcoef(samples.mean(dim=0).numpy(), expected.numpy())[0, 1] > 0.9, "curvature shows above the noise"


def test_the_average_is_corrected_while_few_looks_are_in_it_and_negative_curvature_counts_as_none() -> None:
    network = TwoLayers()
    method = OptimalBrainDamage(ObdParameters(smoothing=0.8))
    weights = masked(network, method)
    single = OptimalBrainDamage(ObdParameters(smoothing=0.0))
    alone = masked(TwoLayers(), single)
    seen = []
    for look in range(4):
        for one, net in ((method, network), (single, TwoLayers())):
            torch.manual_seed(look)
            if one is single:
                alone = masked(net, single)
            one.measure_curvature(net(batch(look)), ALONE)
        seen.append(alone.buffers["curvature"].double().numpy())
        shares = 0.8 ** np.arange(len(seen))[::-1]
        expected = sum(share * probe for share, probe in zip(shares, seen, strict=True)) / shares.sum()
        np.testing.assert_allclose(weights.buffers["curvature"].numpy(), expected, rtol=1e-4, atol=1e-6)
    method.step = 4
    importance = method.importance(torch.empty(56)).double().numpy()
    weight = initial_weights().double().numpy()
    assert (expected < 0).any()
    np.testing.assert_allclose(importance, 0.5 * np.maximum(expected, 0) * weight**2, rtol=1e-4, atol=1e-8)


def test_curvature_is_looked_at_every_so_many_steps_and_leaves_gradients_alone() -> None:
    network = TwoLayers()
    method = OptimalBrainDamage(ObdParameters(every=4))
    weights = masked(network, method)
    looks = []
    for step in range(9):
        method.step = step
        looks.append(method.wants_curvature())
    assert [step for step, look in enumerate(looks) if look] == [0, 4, 8]
    method.measure_curvature(network(batch()), ALONE)
    assert all(matrix.parameter.grad is None for matrix in weights.matrices)
    # a matrix that the loss does not read has no curvature
    method.measure_curvature(network.first(batch()).square().sum(), ALONE)
    assert bool(torch.isfinite(weights.buffers["curvature"]).all())


# --- optimal brain surgeon -----------------------------------------------------------------------------------------

BLOCK, DAMPENING = 16, 1e-2
#: SCHEDULE's window of 60 steps is too short for the ten selections asked for, in which there is something to see.
EVERY = 20


def after_gradients(count: int) -> tuple[OptimalBrainSurgeon, MaskedWeights, Matrix64]:
    """A surgeon in the middle of the window that has seen so many gradients, and F accumulated in fp64."""
    method = OptimalBrainSurgeon(ObsParameters(block_size=BLOCK, dampening=DAMPENING, updates=10))
    weights = masked(TwoLayers(), method, step=SCHEDULE.warmup_steps + 1)
    fisher = DAMPENING * np.eye(64)  # 56 weights fill three and a half blocks
    blocks = np.arange(64) // BLOCK
    for seed in range(count):
        gradient = torch.randn(56, generator=torch.Generator().manual_seed(seed))
        set_gradient(weights, gradient)
        weights.collect_gradients()
        g = np.pad(gradient.double().numpy(), (0, 8))
        fisher += np.outer(g, g) * (blocks[:, None] == blocks) / EVERY
    return method, weights, fisher


def constrained(fisher: Matrix64, weight: Matrix64, going: NDArray[np.int64]) -> tuple[float, Matrix64]:
    """Minimum of ½ δᵀFδ subject to δ_Q = -W_Q, by the KKT system: (the loss's rise, δ)."""
    n, q = len(fisher), len(going)
    constraint = np.zeros((q, n))
    constraint[np.arange(q), going] = 1.0
    system = np.block([[fisher, constraint.T], [constraint, np.zeros((q, q))]])
    delta = np.linalg.solve(system, np.concatenate([np.zeros(n), -weight[going]]))[:n]
    return float(delta @ fisher @ delta / 2), delta


def padded_weight(weights: MaskedWeights) -> Matrix64:
    return np.pad(weights.weight.double().numpy(), (0, 8))


def test_the_inverse_fisher_blocks_equal_the_inverse_of_the_accumulated_blocks() -> None:
    _, weights, fisher = after_gradients(12)
    for number, block in enumerate(weights.buffers["inverse_fisher"].double().numpy()):
        part = slice(number * BLOCK, (number + 1) * BLOCK)
        np.testing.assert_allclose(block, np.linalg.inv(fisher[part, part]), rtol=2e-3, atol=2e-3)


def test_saliency_is_the_least_rise_of_the_loss_when_one_weight_goes() -> None:
    method, weights, fisher = after_gradients(12)
    importance = method.importance(torch.empty(56)).double().numpy()
    expected = [constrained(fisher, padded_weight(weights), np.array([i]))[0] for i in range(56)]
    np.testing.assert_allclose(importance, expected, rtol=2e-3)


def test_the_weights_that_stay_make_up_for_those_that_go_as_the_constrained_optimum() -> None:
    method, weights, fisher = after_gradients(12)
    before = padded_weight(weights)
    set_random_mask(weights, share=0.6)
    method.step = SCHEDULE.warmup_steps + 2 * EVERY
    method.after_selection()
    going = np.flatnonzero(~weights.mask.numpy())
    _, delta = constrained(fisher, before, going)
    np.testing.assert_allclose(padded_weight(weights), before + delta, rtol=2e-3, atol=2e-4)
    assert not bool(weights.weight[~weights.mask].any())
    eye = torch.eye(BLOCK).expand(4, BLOCK, BLOCK) / DAMPENING
    torch.testing.assert_close(weights.buffers["inverse_fisher"], eye)  # F begins anew


def test_masks_rest_between_selections_and_are_selected_when_the_window_ends() -> None:
    method, _, _ = after_gradients(0)
    rests = []
    for step in range(SCHEDULE.total_steps + 1):
        method.step = step
        rests.append(method.select_softly(SCHEDULE.density(step)))
    selected = [step for step in range(SCHEDULE.total_steps + 1) if not rests[step] and SCHEDULE.density(step) < 1.0]
    end = SCHEDULE.total_steps - SCHEDULE.cooldown_steps
    assert selected == [*range(SCHEDULE.warmup_steps + EVERY, end, EVERY), *range(end, SCHEDULE.total_steps + 1)]


def test_a_late_single_cut_is_made_up_for_too() -> None:
    """Warm-up and cool-down may overlap where the cut is one."""
    method = OptimalBrainSurgeon(ObsParameters(block_size=BLOCK, dampening=DAMPENING))
    weights = masked(TwoLayers(), method, schedule=Schedule("one_shot", 100, 80, 30, 0.6))
    torch.manual_seed(0)
    for step in range(80):
        method.step = step
        set_gradient(weights, torch.randn(56))
        weights.collect_gradients()
    before = weights.weight.clone()
    set_random_mask(weights, share=0.6)
    method.step = 80
    method.after_selection()
    assert bool((weights.weight != before)[weights.mask].any())


def test_what_has_gone_is_made_up_for_once_and_rests_at_zero() -> None:
    """The optimizer's momentum goes on moving it; its effective weight is zero all the same."""
    method, weights, _ = after_gradients(12)
    set_random_mask(weights, share=0.6)
    method.step = SCHEDULE.warmup_steps + EVERY
    method.after_selection()
    kept = weights.weight.clone()
    for seed in range(EVERY):
        set_gradient(weights, torch.randn(56, generator=torch.Generator().manual_seed(seed)))
        weights.collect_gradients()
        with torch.no_grad():
            weights.weight[~weights.mask] += 0.5
        method.step += 1
        method.after_update(learning_rate=1e-3)
    assert not bool(weights.weight[~weights.mask].any())
    method.after_selection()
    torch.testing.assert_close(weights.weight, kept)


@pytest.mark.parametrize("scale", [1e-5, 1e-2, 1.0, 100.0])
def test_saliencies_stay_positive_in_fp32_at_the_default_dampening(scale: float) -> None:
    method = OptimalBrainSurgeon()
    weights = masked(TwoLayers(), method, step=SCHEDULE.warmup_steps + 1)
    torch.manual_seed(0)
    for _ in range(40):
        set_gradient(weights, torch.randn(56) * scale)
        weights.collect_gradients()
        importance = method.importance(torch.empty(56))
        assert bool((importance > 0).all())
        assert bool(torch.isfinite(importance).all())
