"""Penalties that know no target: their gradients and steps in closed form, and the controller that finds their λ."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pruning_core.methods.controller import PenaltyController
from pruning_core.methods.learned import LearnedParameters
from pruning_core.methods.rpp import ReweightedProximal, RppParameters
from pruning_core.methods.soft_movement import SoftMovement
from pruning_core.training import Progress
from tests.tiny import save_tiny_model
from tests.unit.pruning_core.runs import PRUNABLE, short_run, short_spec
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


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("model"))


# --- soft movement -------------------------------------------------------------------------------------------------


def test_a_penalty_that_does_not_help_stays_finite_and_so_do_its_gradients() -> None:
    weights = masked(TwoLayers(), SoftMovement(), schedule=SCHEDULE, step=20)
    controller = PenaltyController(weights, SCHEDULE, proportional=10.0)
    controller.seed(lambda: torch.tensor(1.0))
    for _ in range(1000):  # nothing goes, however strong it is
        controller.update(torch.tensor(1.0), 0.1)
    assert math.isfinite(float(controller.penalty.square().sum()))
    for _ in range(1000):  # and it comes down again
        controller.update(torch.tensor(0.0), 0.1)
    assert float(controller.penalty) < 1.0


@pytest.mark.parametrize("frozen", [False, True])
def test_the_soft_penalty_is_lambda_times_the_gradient_of_the_mean_sigmoid(frozen: bool) -> None:
    lam = 7.0
    network = TwoLayers()
    weights = masked(network, SoftMovement(), frozen=frozen, step=20)
    with torch.no_grad():
        weights.score.copy_(torch.linspace(-5, 5, 56))
    weights.buffers["log_lambda"].fill_(math.log(lam))
    set_random_mask(weights)
    network(batch()).backward()
    weights.collect_gradients()

    weight, score = initial_weights().requires_grad_(), weights.score.clone().requires_grad_()
    effective = in_shape(weight * (weights.mask.float() + score - score.detach()))
    loss = loss_with(effective, batch()) + lam * torch.sigmoid(score).mean()
    expected = torch.autograd.grad(loss, [weight, score])
    torch.testing.assert_close(score_gradient_of(weights), expected[1])
    if not frozen:
        torch.testing.assert_close(gradient_of(weights), expected[0])


@pytest.mark.parametrize("step", [SCHEDULE.warmup_steps - 1, SCHEDULE.total_steps - SCHEDULE.cooldown_steps])
def test_outside_the_window_there_is_no_penalty(step: int) -> None:
    network = TwoLayers()
    weights = masked(network, SoftMovement(), step=step)
    weights.buffers["log_lambda"].fill_(10.0)
    network(batch()).backward()
    g = torch.cat([p.grad.flatten() for p in (network.first.weight, network.second.weight) if p.grad is not None])
    expected = g * initial_weights()
    weights.collect_gradients()
    torch.testing.assert_close(score_gradient_of(weights), expected)


@pytest.mark.parametrize(("init", "threshold", "density"), [("magnitude", 0.5, 0.45), ("zeros", 0.1, 0.65)])
def test_the_soft_mask_is_the_sigmoid_above_its_threshold(init: str, threshold: float, density: float) -> None:
    method = SoftMovement(LearnedParameters.model_validate({"score_init": init}))
    weights = masked(TwoLayers(), method, step=20)
    with torch.no_grad():
        weights.score.copy_(torch.linspace(-5, 5, 56))
    assert method.select_softly(density)  # the threshold keeps a little more than that
    assert torch.equal(weights.mask, torch.sigmoid(torch.linspace(-5, 5, 56)) > threshold)


def test_the_soft_mask_never_lags_more_than_a_quarter_behind_the_schedule() -> None:
    """In some tens of steps scores cannot reach the threshold: all would be cut at once when the window ends."""
    weights = masked(TwoLayers(), method := SoftMovement(), step=20)
    scores = torch.linspace(1, 2, 56)  # all above
    with torch.no_grad():
        weights.score.copy_(scores)
    assert method.select_softly(0.4)
    assert torch.equal(weights.mask, scores >= scores.sort(descending=True).values[27]), "the 1.25 x 0.4 x 56 highest"


def test_frozen_weights_of_a_short_run_are_pulled_as_hard_as_in_movement_pruning_and_to_the_end() -> None:
    """λ·σ'(0)/n is 0.5 / density times the mean |G ⊙ W| for scores by sensitivity, whatever the density lags behind."""
    method = SoftMovement(LearnedParameters.model_validate({"score_init": "sensitivity"}))
    schedule = replace(SCHEDULE, trained=True)
    network, last = TwoLayers(), SCHEDULE.total_steps - 1
    weights = masked(network, method, schedule=schedule, frozen=True)
    for step in (0, 20, last):
        method.step = step
        with torch.no_grad():
            weights.score.zero_()
        network(batch(step)).backward()
        own = initial_weights() * torch.cat([gradient.clone() for gradient in weights.gradients])
        before = float(method.metrics()["lambda"])
        weights.collect_gradients()
        torch.testing.assert_close(score_gradient_of(weights), own + before * 0.25 / len(weights))
        method.after_update(1e-3)
        weights.drop_gradients()
        expected = 5.0 * float(own.abs().sum()) / 0.25
        assert float(method.metrics()["lambda"]) == pytest.approx(expected, rel=1e-5)
        method.select_softly(schedule.density(step))
        assert float(method.metrics()["lambda"]) == pytest.approx(expected, rel=1e-5), "no controller"
    assert before > 0.0


def test_frozen_masks_of_a_short_run_catch_up_with_the_schedule_as_its_window_closes() -> None:
    method = SoftMovement(LearnedParameters.model_validate({"score_init": "sensitivity"}))
    weights = masked(TwoLayers(), method, schedule=replace(SCHEDULE, trained=True), frozen=True, step=20)
    with torch.no_grad():
        weights.score.copy_(torch.linspace(1, 2, 56))  # all above the threshold
    kept = []
    for density in (0.8, 0.55, 0.2, 0.1):
        method.select_softly(density)
        kept.append(int(weights.mask.sum()))
    assert kept == [round(56 * d * (1 + 0.25 * (d - 0.1) / 0.9)) for d in (0.8, 0.55, 0.2, 0.1)]
    assert kept[-1] == round(56 * 0.1)


@pytest.mark.parametrize(("frozen", "trained"), [(True, False), (False, True)])
def test_in_other_runs_the_controller_searches(frozen: bool, trained: bool) -> None:
    network, method = TwoLayers(), SoftMovement()
    weights = masked(network, method, schedule=replace(SCHEDULE, trained=trained), frozen=frozen, step=20)
    network(batch()).backward()
    weights.collect_gradients()
    method.after_update(1e-3)
    method.select_softly(0.4)
    first = float(method.metrics()["lambda"])
    method.select_softly(0.2)
    assert 0.0 < first != float(method.metrics()["lambda"])


# --- reweighted proximal -------------------------------------------------------------------------------------------


def test_the_proximal_step_is_the_argmin_of_the_penalised_quadratic() -> None:
    """argmin_w ½(w - w₀)² + ληα|w|, by looking at every w of a fine grid."""
    method = ReweightedProximal(RppParameters(epsilon=0.01))
    weights = masked(TwoLayers(), method, step=20)
    start = initial_weights().double()
    lam, rate = 2.0, 1e-2
    weights.buffers["log_lambda"].fill_(math.log(lam))
    method.after_update(rate)
    grid = torch.linspace(-1, 1, 400_001, dtype=torch.float64)
    for w0, found in zip(start.tolist(), weights.weight.tolist(), strict=True):
        cost = 0.5 * (grid - w0) ** 2 + lam * rate / (abs(w0) + 0.01) * grid.abs()
        assert found == pytest.approx(float(grid[cost.argmin()]), abs=6e-6)
    assert 5 < int((weights.weight == 0).sum()) < 51


def test_zeros_may_come_back_until_the_window_ends() -> None:
    network, method = TwoLayers(), ReweightedProximal()
    weights = masked(network, method, step=20)
    set_random_mask(weights)
    network(batch()).backward()
    weights.collect_gradients()
    assert bool(gradient_of(weights)[~weights.mask].any())
    weights.drop_gradients()
    method.step = SCHEDULE.total_steps - SCHEDULE.cooldown_steps
    network(batch()).backward()
    weights.collect_gradients()
    assert not bool(gradient_of(weights)[~weights.mask].any())


def test_a_run_that_prunes_its_dense_baseline_spares_the_largest() -> None:
    """They are not shrunk, and alone train and are computed with; what has gone shrinks to zero."""
    network, method = TwoLayers(), ReweightedProximal(RppParameters(epsilon=0.01))
    schedule = replace(SCHEDULE, trained=True)
    weights = masked(network, method, schedule=schedule, step=20)
    kept = initial_weights().abs() >= initial_weights().abs().sort(descending=True).values[24]
    weights.mask.copy_(kept)
    weights.apply()
    weights.buffers["log_lambda"].fill_(math.log(2.0))
    network(batch()).backward()
    weights.collect_gradients()
    assert bool(gradient_of(weights)[kept].any())
    assert not bool(gradient_of(weights)[~kept].any())
    weights.drop_gradients()
    method.after_update(1e-2)
    start = initial_weights()
    shrunk = torch.copysign((start.abs() - 2.0 * 1e-2 / (start.abs() + 0.01)).clamp(min=0.0), start)
    torch.testing.assert_close(weights.weight, torch.where(kept, start, shrunk))
    assert not method.select_softly(0.4), "the exact v of the schedule"


# --- the controller ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "case",
    [
        # Scores of soft movement cannot travel far in so few steps: the exact cut at the window's end does the rest.
        ("soft_movement", 60, 0.5, 1.0),
        ("soft_movement", 300, 0.95, 0.12),
        ("l0", 60, 0.5, 0.05),
        ("l0", 300, 0.95, 0.08),
        ("rpp", 60, 0.5, 0.05),
        ("rpp", 300, 0.95, 0.05),
    ],
)
def test_the_density_follows_its_track_and_ends_exactly(
    case: tuple[str, int, float, float], model_dir: Path, tmp_path: Path
) -> None:
    """Method, steps, sparsity, and what may be left over for the exact cut when the window ends."""
    method, steps, sparsity, late = case
    seen: list[Progress] = []
    spec = short_spec(method, target_sparsity=sparsity, training={"max_steps": steps})
    result = short_run(model_dir, tmp_path, spec, on_progress=seen.append)
    track = spec.schedule(96)
    end = track.total_steps - track.cooldown_steps
    density = {p.phase_step: p.metrics["density"] for p in seen if "density" in p.metrics}
    last = max(step for step in density if step < end)
    assert -0.05 < density[last] - track.density(last) < late
    assert all(abs(density[step] - (1 - sparsity)) * PRUNABLE < 1 for step in density if step >= end)
    assert sum(layer.kept for layer in result.layers) == round((1 - sparsity) * PRUNABLE)


@pytest.mark.parametrize("method", ["soft_movement", "l0"])
def test_an_overshooting_penalty_never_cuts_below_the_track(method: str, model_dir: Path, tmp_path: Path) -> None:
    """A score rate far too high shuts every gate at once; the schedule's best stay open."""
    seen: list[Progress] = []
    spec = short_spec(method, training={"max_steps": 60, "score_learning_rate": 2.0})
    short_run(model_dir, tmp_path, spec, on_progress=seen.append)
    for progress in seen:
        if "density" in progress.metrics:
            assert progress.metrics["density"] * PRUNABLE > progress.density * PRUNABLE - 1
