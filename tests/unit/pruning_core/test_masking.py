"""Masked weights, against explicit autograd graphs and the paper's formula for accumulated scores."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from pruning_core.masking import MaskedWeights
from pruning_core.methods import METHODS
from pruning_core.methods.learned import LearnedParameters
from pruning_core.methods.magnitude import Magnitude
from pruning_core.methods.movement import Movement, MovementParameters
from pruning_core.methods.soft_movement import SoftMovement
from pruning_core.pruner import Pruner
from pruning_core.schedule import Schedule
from tests.tiny import tiny_model
from tests.unit.pruning_core.runs import short_spec
from tests.unit.pruning_core.toys import (
    FIRST,
    SCHEDULE,
    SECOND,
    TwoLayers,
    batch,
    flattened,
    gradient_of,
    in_shape,
    initial_weights,
    loss_with,
    masked,
    matrices,
    score_gradient_of,
    set_random_mask,
)


def straight_through(weight: Tensor, score: Tensor, mask: Tensor) -> list[Tensor]:
    """W ⊙ M, as a graph in which M passes its gradient on to S unchanged (Bengio 2013)."""
    return in_shape(weight * (mask.float() + score - score.detach()))


@pytest.mark.parametrize("frozen", [False, True])
def test_gradients_equal_those_of_a_graph_that_multiplies_by_the_mask(frozen: bool) -> None:
    network = TwoLayers()
    weights = masked(network, Movement(MovementParameters(score_penalty=0.0)), frozen=frozen)
    set_random_mask(weights)
    network(batch()).backward()
    weights.collect_gradients()

    weight, score = initial_weights().requires_grad_(), torch.zeros(56, requires_grad=True)
    expected = torch.autograd.grad(loss_with(straight_through(weight, score, weights.mask), batch()), [weight, score])
    if frozen:
        assert not weights.trained
    else:
        torch.testing.assert_close(gradient_of(weights), expected[0])
    torch.testing.assert_close(score_gradient_of(weights), expected[1])
    assert bool((score_gradient_of(weights)[~weights.mask] != 0).any()), "masked weights go on being judged"


def test_scores_accumulate_minus_alpha_times_gradient_times_weight() -> None:
    """S_T = -α Σ_t G⊙W under plain gradient descent (paper, section 4), with a mask that changes on the way."""
    network, alpha = TwoLayers(), 0.1
    ours = masked(network, Movement(MovementParameters(score_init="zeros", score_penalty=0.0)))
    optimizer = torch.optim.SGD([*ours.trained, *ours.trained_scores], lr=alpha)
    weight, total = initial_weights(), torch.zeros(56)
    for step in range(6):
        set_random_mask(ours, seed=step, share=0.5)
        network(batch(step)).backward()
        ours.collect_gradients()
        optimizer.step()
        ours.drop_gradients()

        effective = [part.requires_grad_() for part in in_shape(weight * ours.mask)]
        gradient = flattened(list(torch.autograd.grad(loss_with(effective, batch(step)), effective)))
        total += gradient * weight
        weight = weight - alpha * gradient * ours.mask
    torch.testing.assert_close(ours.score, -alpha * total)
    torch.testing.assert_close(ours.weight, weight)


@pytest.mark.parametrize("frozen", [False, True])
def test_adam_on_scores_and_weights_equals_adam_on_the_explicit_graph(frozen: bool) -> None:
    """Eight steps with masks that are the top half of the scores of the moment, found by a sort."""
    network = TwoLayers()
    ours = masked(network, Movement(MovementParameters(score_init="zeros", score_penalty=0.0)), frozen=frozen)
    optimizer = torch.optim.Adam([*ours.trained, *ours.trained_scores], lr=0.05)
    weight, score = initial_weights().requires_grad_(), torch.zeros(56, requires_grad=True)
    reference = torch.optim.Adam([score] if frozen else [weight, score], lr=0.05)
    for step in range(8):
        for scores, mask in ((ours.score, ours.mask), (score, theirs := torch.zeros(56, dtype=torch.bool))):
            mask.fill_(False)[scores.detach().sort(descending=True).indices[:28]] = True
        assert torch.equal(ours.mask, theirs)
        ours.apply()
        network(batch(step)).backward()
        ours.collect_gradients()
        optimizer.step()
        ours.drop_gradients()

        reference.zero_grad()
        loss_with(straight_through(weight, score, theirs), batch(step)).backward()
        reference.step()
    torch.testing.assert_close(ours.score, score)
    torch.testing.assert_close(ours.weight, weight.detach())
    assert torch.equal(ours.weight, initial_weights()) is frozen


def test_scores_are_pulled_down_by_the_mean_gradient_of_the_step_before() -> None:
    """A reference in NumPy's own words: g₁ = G₁⊙W, g₂ = G₂⊙W + c·mean|g₁|."""
    network, strength = TwoLayers(), 0.7
    ours = masked(network, Movement(MovementParameters(score_penalty=strength)))
    plain: list[NDArray[np.float32]] = []
    for step in range(3):
        network(batch(step)).backward()
        judged = (torch.cat(ours.gradients) * ours.weight).numpy()
        ours.collect_gradients()
        expected = judged + (strength * np.abs(plain[-1]).mean() if plain else 0.0)
        np.testing.assert_allclose(score_gradient_of(ours).numpy(), expected, rtol=1e-5)
        plain.append(judged)
        ours.method.after_update(0.0)
        ours.drop_gradients()


def test_gradient_accumulation_sums_before_the_scores_are_judged() -> None:
    network = TwoLayers()
    ours = masked(network, Movement())
    set_random_mask(ours)
    network(batch(1)).backward()
    network(batch(2)).backward()
    ours.collect_gradients()
    weight, score = initial_weights().requires_grad_(), torch.zeros(56, requires_grad=True)
    effective = straight_through(weight, score, ours.mask)
    (loss_with(effective, batch(1)) + loss_with(effective, batch(2))).backward()
    torch.testing.assert_close(gradient_of(ours), weight.grad)
    torch.testing.assert_close(score_gradient_of(ours), score.grad)


# l0's gates are noise from the start; the schedule of rewind is of another kind (test_rewind.py)
@pytest.mark.parametrize("name", [name for name in METHODS if name not in ("l0", "rewind")])
def test_before_the_first_cut_a_step_is_plain_fine_tuning(name: str) -> None:
    parameters = {"rate": 0.0} if name == "layerdrop" else {}
    model, plain = tiny_model().train(mode=False), tiny_model().train(mode=False)  # no dropout
    pruner = Pruner(model, short_spec(name, pruning={"params": parameters}), Schedule("cubic", 100, 10, 30, 0.5))
    if name == "wanda":
        pruner.weights.input_norms = {matrix.name: torch.ones(64) for matrix in pruner.weights.matrices}
    pruner.begin()
    batch = {"input_ids": torch.arange(5, 21).view(2, 8), "labels": torch.tensor([0, 1])}
    model(**batch).loss.backward()
    plain(**batch).loss.backward()
    norm = pruner.before_optimizer_step([], max_norm=1e9)
    named = dict(plain.bert.named_parameters())
    gradients = [named[f"{matrix.name}.weight"].grad for matrix in pruner.weights.matrices]
    expected = flattened([gradient for gradient in gradients if gradient is not None])
    torch.testing.assert_close(gradient_of(pruner.weights), expected)
    torch.testing.assert_close(norm, expected.norm())


def test_a_matrix_outside_the_loss_gets_no_stale_gradient() -> None:
    network = TwoLayers()
    weights = masked(network, Movement())
    network(batch()).backward()
    weights.collect_gradients()
    weights.drop_gradients()
    network.first(batch()).sum().backward()
    weights.collect_gradients()
    assert bool(gradient_of(weights)[FIRST].any())
    assert not bool(gradient_of(weights)[SECOND].any())
    assert not bool(score_gradient_of(weights)[SECOND].any())


@pytest.mark.parametrize("name", ["magnitude", "movement", "taylor", "platon", "obd", "obs"])
def test_after_a_cut_before_the_first_step_the_model_computes_with_masked_weights(name: str) -> None:
    """Selection borrows the memory of the effective weights, and has to leave them as they should be."""
    schedule = {"schedule": {"shape": "one_shot", "warmup": 0.0}}
    pruner = Pruner(tiny_model(), short_spec(name, pruning=schedule), Schedule("one_shot", 24, 0, 8, 0.1))
    pruner.begin()
    weights = pruner.weights
    assert sum(weights.kept()) == round(0.1 * len(weights))
    held = torch.cat([matrix.parameter.detach().flatten() for matrix in weights.matrices])
    assert torch.equal(held, torch.where(weights.mask, weights.weight, 0.0))


def test_settling_leaves_exact_positive_zeros() -> None:
    network = TwoLayers()
    weights = masked(network, Movement())
    set_random_mask(weights)
    weights.settle()
    dead = network.first.weight.detach().flatten()[~weights.mask[FIRST]]
    assert torch.equal(torch.copysign(torch.ones_like(dead), dead), torch.ones_like(dead))
    assert not bool(dead.any())
    assert not bool(weights.weight[~weights.mask].any())


def test_movement_ranks_by_the_magnitude_of_the_moment_plus_scores_from_zero() -> None:
    method = Movement()
    weights = masked(TwoLayers(), method)
    assert not bool(weights.score.any())
    torch.testing.assert_close(method.importance(torch.empty(56)), initial_weights().abs())
    with torch.no_grad():
        weights.weight.mul_(-2.0).add_(0.1)
        weights.score.copy_(torch.linspace(-1, 1, 56))
    expected = (-2.0 * initial_weights() + 0.1).abs() + torch.linspace(-1, 1, 56)
    torch.testing.assert_close(method.importance(torch.empty(56)), expected)


def test_movement_as_in_the_paper_ranks_by_scores_from_zero_alone() -> None:
    method = Movement(MovementParameters(score_init="zeros", score_penalty=0.0))
    weights = masked(TwoLayers(), method)
    assert not bool(method.importance(torch.empty(56)).any())
    with torch.no_grad():
        weights.score.copy_(torch.linspace(-1, 1, 56))
    assert torch.equal(method.importance(torch.empty(56)), torch.linspace(-1, 1, 56))


def test_soft_scores_start_from_the_magnitude_or_from_zero() -> None:
    default = masked(TwoLayers(), SoftMovement())
    torch.testing.assert_close(default.score, initial_weights().abs())
    paper = masked(TwoLayers(), SoftMovement(LearnedParameters(score_init="zeros")))
    assert not bool(paper.score.any())


def test_the_model_computes_with_the_weights_times_the_mask_and_the_weights_stay() -> None:
    network = TwoLayers()
    weights = masked(network, Magnitude())
    set_random_mask(weights)
    assert torch.equal(flattened([network.first.weight, network.second.weight]), initial_weights() * weights.mask)
    assert torch.equal(weights.weight, initial_weights())
    assert torch.equal(loss_with(in_shape(initial_weights() * weights.mask), batch()), network(batch()))


@pytest.mark.parametrize(("number_format", "bytes_of_it"), [(torch.float32, 4), (torch.bfloat16, 2)])
def test_from_step_to_step_nothing_is_held_but_weights_scores_moments_and_what_the_model_computes_with(
    number_format: torch.dtype, bytes_of_it: int
) -> None:
    """Dense training 12 bytes a weight, the scores and their Adam state 12, W ⊙ M; no mask, and no gradient."""
    network = TwoLayers()
    weights = MaskedWeights(matrices(network), Movement(), computes_in=number_format)
    weights.method.start(weights, SCHEDULE)
    set_random_mask(weights)
    optimizer = torch.optim.AdamW([*weights.trained, *weights.trained_scores])
    with torch.autocast("cpu", torch.bfloat16, enabled=number_format == torch.bfloat16):
        network(batch()).backward()
    weights.collect_gradients()
    optimizer.step()
    kept = weights.mask.clone()
    weights.drop_gradients()
    weights.apply()
    states = [state for each in optimizer.state.values() for state in each.values() if state.dim()]
    reachable = [*vars(weights).values(), *weights.trained, *weights.trained_scores, *states]
    reachable += [matrix.parameter for matrix in weights.matrices]
    tensors = [each for each in reachable if isinstance(each, torch.Tensor)]
    storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors}
    assert sum(storages.values()) == (24 + bytes_of_it) * len(weights)
    assert all(tensor.grad is None for tensor in tensors)
    assert torch.equal(weights.mask, kept)


@pytest.mark.parametrize("number_format", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("value", [0.0, -0.0, 1e-42, -1e-42])
def test_a_kept_weight_that_is_zero_stays_kept(value: float, number_format: torch.dtype) -> None:
    """Also one that rounds to zero: M is seen from what the model computes with."""
    network = TwoLayers()
    weights = MaskedWeights(matrices(network), Movement(), computes_in=number_format)
    weights.method.start(weights, SCHEDULE)
    weights.weight[::3] = value
    weights.mask.copy_(torch.arange(56) % 2 == 0)
    weights.apply()
    weights.apply(training=False)
    assert torch.equal(weights.mask, torch.arange(56) % 2 == 0)
    assert weights.kept() == [18, 10]
    assert float(weights.kept_share) == 0.5
    held = flattened([network.first.weight, network.second.weight])
    assert torch.equal(held.float(), torch.where(weights.mask, weights.weight, 0.0).to(number_format).float())
    weights.settle()
    assert weights.kept() == [18, 10]
    settled = flattened([network.first.weight, network.second.weight])
    assert not bool(torch.signbit(settled[settled == 0.0]).any())
