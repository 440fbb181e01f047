"""L0: hard-concrete gates, against closed forms, sampling in NumPy, and autograd through explicit gates."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from pruning_core.masking import MaskedWeights
from pruning_core.methods.l0 import L0, SHUT_BELOW, expected_open
from pruning_core.methods.learned import LearnedParameters
from pruning_core.noise import write_uniform
from pruning_core.schedule import Schedule
from tests.unit.pruning_core.runs import short_spec
from tests.unit.pruning_core.toys import (
    SCHEDULE,
    TwoLayers,
    batch,
    gradient_of,
    in_shape,
    initial_weights,
    loss_with,
    masked,
    score_gradient_of,
    set_random_mask,
)

#: The paper's constants, written out again: l, r, b.
L, R, B = -0.1, 1.1, 2 / 3


def hard_concrete(u: Tensor, score: Tensor) -> Tensor:
    """z(u, S) of Louizos 2018, equations 10 and 11, as a graph."""
    s = torch.sigmoid((torch.log(u) - torch.log(1 - u) + score) / B)
    return torch.clamp(s * (R - L) + L, 0.0, 1.0)


def penalty(score: Tensor) -> Tensor:
    """E‖z‖₀ / n in its closed form, equation 12."""
    return torch.sigmoid(score - B * math.log(-L / R)).mean()


def weights_with_scores(frozen: bool = False, schedule: Schedule = SCHEDULE) -> MaskedWeights:
    """A toy in the middle of the window whose gates are open, shut and in between."""
    weights = masked(TwoLayers(), L0(), schedule=schedule, frozen=frozen, step=20)
    with torch.no_grad():
        weights.score.copy_(torch.linspace(-4, 4, 56)[torch.randperm(56)])
    return weights


@pytest.mark.parametrize("score", [-5.0, -2.0, 0.0, 1.0, 4.0])
def test_the_expected_number_of_open_gates_is_what_sampling_counts(score: float) -> None:
    u = np.random.default_rng(0).uniform(size=400_000)
    s = 1 / (1 + np.exp(-(np.log(u) - np.log1p(-u) + score) / B))
    share = float(np.mean(s * (R - L) + L > 0))
    closed = float(expected_open(torch.tensor(score)))
    assert closed == pytest.approx(1 / (1 + math.exp(-(score - B * math.log(-L / R)))), rel=1e-5)
    assert closed == pytest.approx(share, abs=4 * math.sqrt(0.25 / 400_000))


def statistics(z: NDArray[np.float64]) -> list[float]:
    """Mean, spread, and the shares of shut and of open gates."""
    return [float(z.mean()), float(z.std()), float((z == 0).mean()), float((z == 1).mean())]


@pytest.mark.parametrize("score", [-3.0, 0.0, 2.2])
def test_training_gates_are_distributed_as_hard_concrete(score: float) -> None:
    rng = np.random.default_rng(1)
    method = L0()
    weights = masked(TwoLayers(), method, step=20)
    with torch.no_grad():
        weights.score.fill_(score)
    torch.manual_seed(0)
    drawn = []
    for _ in range(500):
        weights.apply()
        drawn.append(weights.buffers["gates"].clone())
    ours = torch.cat(drawn).double().numpy()
    u = rng.uniform(size=len(ours))
    theirs = np.clip((R - L) / (1 + np.exp(-(np.log(u) - np.log1p(-u) + score) / B)) + L, 0, 1)
    for seen, expected in zip(statistics(ours), statistics(theirs), strict=True):
        assert seen == pytest.approx(expected, abs=0.012)
    torch.testing.assert_close(
        torch.cat([matrix.parameter.detach().flatten() for matrix in weights.matrices]),
        weights.weight * weights.buffers["gates"],
    )


def test_shipped_gates_are_the_stretched_sigmoid_and_zero_outside_the_mask() -> None:
    weights = weights_with_scores()
    weights.mask.copy_(torch.arange(56) % 2 == 0)
    weights.apply(training=False)
    gates = torch.clamp(torch.sigmoid(weights.score) * (R - L) + L, 0, 1) * weights.mask
    shipped = torch.cat([matrix.parameter.detach().flatten() for matrix in weights.matrices])
    torch.testing.assert_close(shipped, initial_weights() * gates)


def test_a_gate_is_open_at_test_time_from_the_shut_score_on() -> None:
    for score, is_open in ((SHUT_BELOW - 1e-3, False), (SHUT_BELOW + 1e-3, True)):
        assert (torch.sigmoid(torch.tensor(score)) * (R - L) + L > 0).item() is is_open


@pytest.mark.parametrize("frozen", [False, True])
def test_gradients_equal_autograd_through_explicit_gates_and_the_penalty(frozen: bool) -> None:
    lam = 3.0
    weights = weights_with_scores(frozen)
    weights.buffers["log_lambda"].fill_(math.log(lam))
    torch.manual_seed(5)
    weights.apply()
    torch.manual_seed(5)
    u = torch.empty(56)
    write_uniform(u)

    loss_with([matrix.parameter for matrix in weights.matrices], batch()).backward()
    weights.collect_gradients()

    weight, score = initial_weights().requires_grad_(), weights.score.clone().requires_grad_()
    z = hard_concrete(u, score)
    assert 5 < int(((z > 0) & (z < 1)).sum()) < 50, "gates of all three kinds"
    loss = loss_with(in_shape(weight * z), batch()) + lam * penalty(score)
    expected = torch.autograd.grad(loss, [weight, score])
    if frozen:
        assert not weights.trained
    else:
        torch.testing.assert_close(gradient_of(weights), expected[0], rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(score_gradient_of(weights), expected[1], rtol=1e-4, atol=1e-6)


def test_after_the_window_gates_are_fixed_by_their_scores_and_train_without_penalty() -> None:
    weights = weights_with_scores()
    weights.method.step = SCHEDULE.total_steps - SCHEDULE.cooldown_steps
    weights.buffers["log_lambda"].fill_(5.0)
    set_random_mask(weights)
    loss_with([matrix.parameter for matrix in weights.matrices], batch()).backward()
    weights.collect_gradients()

    weight, score = initial_weights().requires_grad_(), weights.score.clone().requires_grad_()
    gates = torch.clamp(torch.sigmoid(score) * (R - L) + L, 0, 1) * weights.mask
    expected = torch.autograd.grad(loss_with(in_shape(weight * gates), batch()), [weight, score])
    torch.testing.assert_close(gradient_of(weights), expected[0])
    torch.testing.assert_close(score_gradient_of(weights), expected[1])


def test_the_gates_that_stay_are_opened_as_wide_as_they_began_when_the_window_ends() -> None:
    """A weight that counts as kept must not be multiplied by next to nothing."""
    weights = weights_with_scores()
    weights.method.step = SCHEDULE.total_steps - SCHEDULE.cooldown_steps
    weights.mask.copy_(weights.score > -3.9)
    before = weights.score.clone()
    weights.method.after_selection()
    weights.apply(training=False)
    assert bool((weights.buffers["gates"][weights.mask] > 0.95).all())
    assert torch.equal(weights.score[~weights.mask], before[~weights.mask])


@pytest.mark.parametrize(("density", "power"), [(0.03, 0.0), (0.1, 0.0), (0.2, 0.25), (0.5, 1.0), (0.8, 1.0)])
def test_where_much_is_left_weights_take_over_what_their_gates_were(density: float, power: float) -> None:
    weights = weights_with_scores(schedule=replace(SCHEDULE, final_density=density))
    before, score = weights.weight.clone(), weights.score.clone()
    set_random_mask(weights)
    kept = weights.mask & (score > SHUT_BELOW)
    gates = torch.clamp(torch.sigmoid(score) * (R - L) + L, 0, 1)
    weights.method.step = SCHEDULE.total_steps - SCHEDULE.cooldown_steps
    weights.method.after_selection()
    after = weights.weight
    torch.testing.assert_close(after[kept], (before * gates**power)[kept])
    assert torch.equal(after[~weights.mask], before[~weights.mask])
    assert bool((after[weights.mask] != 0.0).all()), "what counts as kept is not shut for good"
    assert bool((weights.score[weights.mask] >= 2.2).all())


def test_half_of_the_weights_left_computes_as_before_when_the_window_ends() -> None:
    weights = weights_with_scores(schedule=replace(SCHEDULE, final_density=0.5))
    with torch.no_grad():
        weights.score.clamp_(min=SHUT_BELOW + 0.1)
    weights.method.step = SCHEDULE.total_steps - SCHEDULE.cooldown_steps
    weights.apply(training=False)
    before = torch.cat([matrix.parameter.detach().flatten() for matrix in weights.matrices])
    weights.method.after_selection()
    weights.apply(training=False)
    after = torch.cat([matrix.parameter.detach().flatten() for matrix in weights.matrices])
    # Gates reopen to σ(2.2)·1.2 - 0.1 = 0.98 at least, not quite to 1.
    torch.testing.assert_close(after, before, rtol=0.025, atol=0.0)


@pytest.mark.parametrize(
    ("init", "density", "apart"),
    [
        ("magnitude", 0.03, 1.0),
        ("magnitude", 0.1, 1.0),
        ("magnitude", 0.3, 2.5),
        ("magnitude", 0.5, 4.0),
        ("magnitude", 0.9, 4.0),
        ("sensitivity", 0.03, 4.0),
        ("sensitivity", 0.5, 4.0),
    ],
)
def test_scores_start_the_farther_apart_the_more_is_to_be_left_or_known(
    init: str, density: float, apart: float
) -> None:
    method = L0(LearnedParameters.model_validate({"score_init": init}))
    weights = masked(TwoLayers(), method, schedule=replace(SCHEDULE, final_density=density))
    for where in weights.slices:
        weight = weights.weight[where].double()
        expected = 2.2 + apart * (weight.abs() / weight.std() - 1.0)
        torch.testing.assert_close(weights.score[where].double(), expected, rtol=1e-5, atol=1e-5)


def test_frozen_weights_stay_as_they_are_when_their_gates_are_opened() -> None:
    weights = weights_with_scores(frozen=True, schedule=replace(SCHEDULE, final_density=0.5))
    before = weights.weight.clone()
    set_random_mask(weights)
    weights.method.step = SCHEDULE.total_steps - SCHEDULE.cooldown_steps
    weights.method.after_selection()
    assert torch.equal(weights.weight, before)


# --- frozen weights of a run that prunes its dense baseline -------------------------------------------------------


def frozen_in_short(step: int) -> MaskedWeights:
    """A toy whose masks alone learn, with gates that are open, shut and in between."""
    method = L0(LearnedParameters.model_validate({"score_init": "sensitivity"}))
    weights = masked(TwoLayers(), method, schedule=replace(SCHEDULE, trained=True), frozen=True, step=step)
    with torch.no_grad():
        weights.score.copy_(torch.linspace(-4, 4, 56)[torch.randperm(56)])
    return weights


def computed(weights: MaskedWeights) -> Tensor:
    return torch.cat([matrix.parameter.detach().flatten() for matrix in weights.matrices])


def test_all_scores_shift_until_the_lowest_kept_is_where_gates_began() -> None:
    weights = frozen_in_short(20)
    assert not weights.method.select_softly(0.4), "exactly the highest"
    before = weights.score.clone()
    weights.mask.copy_(before >= before.sort(descending=True).values[21])
    weights.method.after_selection()
    assert float(weights.score[weights.mask].min()) == pytest.approx(2.2)
    torch.testing.assert_close(weights.score - before, torch.full((56,), float(weights.score[0] - before[0])))
    weights.apply()
    drawn = computed(weights)
    torch.testing.assert_close(drawn, initial_weights() * weights.buffers["gates"] * weights.mask)
    assert 0 < int((drawn != 0).sum()) <= 22, "what is not selected is not computed with"


def test_their_gates_gradient_is_the_hard_concretes_and_their_penalty_follows_the_task() -> None:
    weights = frozen_in_short(20)
    set_random_mask(weights)
    torch.manual_seed(5)
    weights.apply()
    torch.manual_seed(5)
    u = torch.empty(56)
    write_uniform(u)
    loss_with([matrix.parameter for matrix in weights.matrices], batch()).backward()
    own = torch.cat([gradient.clone() for gradient in weights.gradients]) * initial_weights()
    weights.collect_gradients()
    score = weights.score.clone().requires_grad_()
    [slope] = torch.autograd.grad(hard_concrete(u, score).sum(), score)
    torch.testing.assert_close(score_gradient_of(weights), own * slope, rtol=1e-4, atol=1e-6)

    weights.method.after_update(1e-3)
    lam = 5.0 * float(own.abs().sum()) / 0.25
    assert float(weights.method.metrics()["lambda"]) == pytest.approx(lam, rel=1e-5)
    weights.drop_gradients()
    torch.manual_seed(5)
    weights.apply()
    loss_with([matrix.parameter for matrix in weights.matrices], batch()).backward()
    weights.collect_gradients()
    [pull] = torch.autograd.grad(lam * penalty(score), score)
    torch.testing.assert_close(score_gradient_of(weights), own * slope + pull, rtol=1e-4, atol=1e-6)


def test_after_the_window_frozen_weights_are_shipped_as_they_are_and_scores_learn_straight_through() -> None:
    weights = frozen_in_short(SCHEDULE.total_steps - 1)
    set_random_mask(weights)
    for training in (True, False):
        weights.apply(training=training)
        assert torch.equal(computed(weights), initial_weights() * weights.mask)
    weights.method.after_selection()
    before = weights.score.clone()
    pull = 0.0
    for _ in range(2):
        loss_with([matrix.parameter for matrix in weights.matrices], batch()).backward()
        own = torch.cat([gradient.clone() for gradient in weights.gradients]) * initial_weights()
        weights.collect_gradients()
        torch.testing.assert_close(score_gradient_of(weights), own + pull)
        weights.method.after_update(1e-3)
        weights.drop_gradients()
        weights.apply()
        pull = 5.0 * float(own.abs().mean())
    assert pull > 0.0
    assert torch.equal(weights.score, before), "no shift any more"


@pytest.mark.parametrize(
    ("init", "frozen", "rate"),
    [("sensitivity", True, 0.27), ("sensitivity", False, 0.5), ("magnitude", True, 0.5), ("zeros", True, 0.1)],
)
def test_scores_that_shift_together_need_to_move_less(init: str, frozen: bool, rate: float) -> None:
    method = L0(LearnedParameters.model_validate({"score_init": init}))
    assert method.default_score_learning_rate(60, frozen=frozen) == pytest.approx(rate)


@pytest.mark.parametrize(("training", "rate"), [({"start_from": "model"}, 0.2), ({}, 0.08)])
def test_and_only_where_they_shift(training: dict[str, object], rate: float) -> None:
    """Of the given model they are pushed by the controller, as far as ever."""
    training = {"max_steps": 200, "dense_baseline": True, **training}
    spec = short_spec("l0", training=training, pruning={"freeze_weights": True})
    assert spec.resolved(64, 32).training.score_learning_rate == pytest.approx(rate)


def test_the_penalty_s_momentum_does_not_shut_them_again() -> None:
    weights = weights_with_scores()
    optimizer = torch.optim.AdamW(weights.trained_scores, lr=0.3, weight_decay=0.0)
    weights.method.attend([], optimizer)
    for _ in range(20):  # what a penalty of any size does: Adam divides by it
        for part in weights.trained_scores:
            part.grad = torch.full_like(part, 1e9)
        optimizer.step()
    weights.method.step = SCHEDULE.total_steps - SCHEDULE.cooldown_steps
    weights.mask.fill_(True)
    weights.method.after_selection()
    for _ in range(20):
        for part in weights.trained_scores:
            part.grad = torch.full_like(part, 1e-3)
        optimizer.step()
    weights.apply(training=False)
    assert bool((weights.buffers["gates"] > 0.95).all())


def test_within_the_window_a_shut_gate_that_stays_is_opened_a_little() -> None:
    weights = weights_with_scores()
    weights.mask.fill_(True)
    before = weights.score.clone()
    weights.method.after_selection()
    expected = torch.where(before <= SHUT_BELOW, SHUT_BELOW + 1.0, before)
    torch.testing.assert_close(weights.score, expected)
