"""Short runs prune the dense baseline, and rank its weights at first by |G ⊙ W|."""

import copy
from pathlib import Path

import pytest
import torch
from transformers import PreTrainedModel

from pruning_core.methods import METHODS
from pruning_core.parameters import new_parameters
from pruning_core.peers import Order
from pruning_core.pruner import Pruner
from pruning_core.ranks import OneRank
from pruning_core.run import Run
from pruning_core.spec import PruningSpec
from pruning_core.training import SENSITIVITY_BATCHES, FineTuning
from tests.tiny import reviews, save_tiny_model, tiny_model
from tests.unit.pruning_core.runs import short_run, short_spec

LEARNERS = [name for name, method in METHODS.items() if method.learns_scores]


def run_of(
    folder: Path,
    method: str,
    *,
    distillation: object = None,
    params: dict[str, object] | None = None,
    **training: object,
) -> Run:
    spec = short_spec(
        method,
        training={"dense_baseline": True, **training},
        distillation=distillation,
        pruning={"params": params or {}},
    )
    directory = save_tiny_model(folder / "tiny")
    encoder = tiny_model().base_model
    assert isinstance(encoder, PreTrainedModel)  # without the head
    encoder.save_pretrained(directory)
    order = Order(directory, reviews(96), spec, reviews(40, seed=1), None, None, None)
    return Run(order, OneRank(torch.device("cpu")))


def test_what_is_pruned_is_the_dense_baseline(tmp_path: Path) -> None:
    run = run_of(tmp_path, "movement")
    pretrained, dense = run.load().state_dict(), run.fine_tune_dense()
    assert dense is not None
    network = run._to_prune(dense)
    assert network is not dense
    assert all(torch.equal(tensor, dense.state_dict()[name]) for name, tensor in network.state_dict().items())
    assert not all(torch.equal(tensor, pretrained[name]) for name, tensor in network.state_dict().items())
    assert new_parameters(dense)
    assert not new_parameters(network), "its head learns like the rest"


def test_or_the_submitted_model_where_that_is_asked_for(tmp_path: Path) -> None:
    run = run_of(tmp_path, "movement", start_from="model")
    pretrained, dense = run.load().state_dict(), run.fine_tune_dense()
    network = run._to_prune(dense)
    assert all(torch.equal(tensor, pretrained[name]) for name, tensor in network.state_dict().items())
    assert new_parameters(network)


@pytest.mark.parametrize("method", LEARNERS)
def test_scores_start_in_the_order_of_sensitivity_with_the_weights_own_sizes(method: str, tmp_path: Path) -> None:
    run = run_of(tmp_path, method)
    network = run._to_prune(run.fine_tune_dense())
    twin = copy.deepcopy(network).train()
    pruner = Pruner(network, run.spec, run.schedule)
    phase = FineTuning(network, run.material, pruner=pruner)
    phase.rank_by_sensitivity()
    assert all(parameter.grad is None for parameter in network.parameters())

    names = [f"{matrix.name}.weight" for matrix in pruner.weights.matrices]
    parameters = dict(twin.base_model.named_parameters())
    expected = torch.zeros(len(pruner.weights))
    for step in range(SENSITIVITY_BATCHES):
        [items] = phase._items_of(step)
        loss = twin(**phase._batch(items)).loss
        gradients = torch.autograd.grad(loss, [parameters[name] for name in names])
        expected += torch.cat(
            [(gradient * parameters[name]).abs().flatten() for name, gradient in zip(names, gradients, strict=True)]
        ).detach()
    weights = torch.cat([parameters[name].detach().flatten() for name in names])
    size = torch.empty_like(expected)
    size[expected.argsort()] = weights.abs().sort().values
    written = torch.empty_like(size)
    for where in pruner.weights.slices:
        pruner.weights.method.write_initial_score(size[where], written[where])
    scores = pruner.weights.score
    # Rounding may turn the order of neighbours, whose sizes are all but the same.
    torch.testing.assert_close(scores, written, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(torch.corrcoef(torch.stack([scores, written]))[0, 1], torch.tensor(1.0))
    if method == "movement":
        torch.testing.assert_close(scores.sort().values, weights.abs().sort().values)


def test_a_teacher_that_agrees_leaves_the_order_to_the_labels(tmp_path: Path) -> None:
    run = run_of(tmp_path, "movement", distillation={"alpha": 1.0})
    dense = run.fine_tune_dense()
    distilled = run._distilled(dense)
    assert distilled is not None
    scores = []
    for loss in (None, distilled):
        network = run._to_prune(dense)
        phase = FineTuning(network, run.material, pruner=Pruner(network, run.spec, run.schedule), distilled=loss)
        phase.rank_by_sensitivity()
        assert phase.pruner
        scores.append(phase.pruner.weights.score)
    assert torch.equal(*scores)


def test_weights_of_the_same_sensitivity_start_by_their_size(tmp_path: Path) -> None:
    run = run_of(tmp_path, "movement")
    weights = Pruner(run.load(), run.spec, run.schedule).weights
    weights.start_scores_by(torch.zeros(len(weights)))
    assert torch.equal(weights.score, weights.weight.abs())


@pytest.mark.parametrize(
    ("method", "params", "back_at"),
    [("rewind", {"rounds": 2, "rewind_to": 0.0}, 12), ("rewind", {}, None)],
)
def test_rewinding_goes_back_to_the_dense_baseline(
    method: str, params: dict[str, object], back_at: int | None, tmp_path: Path
) -> None:
    """What stays trains again from where it was, with all else, and a fresh optimizer; what has gone stays gone."""
    run = run_of(tmp_path, method, params=params)
    network = run._to_prune(run.fine_tune_dense())
    pruner = Pruner(network, run.spec, run.schedule)
    weights, dense = pruner.weights, pruner.weights.weight.clone()
    phase = FineTuning(network, run.material, pruner=pruner)
    pruner.begin()
    before = [parameter.detach().clone() for parameter in phase.others]
    back: list[int] = []
    masks = [weights.mask.clone()]
    rates: list[float] = []

    def look(step: int) -> None:
        at_dense = torch.equal(weights.weight, torch.where(weights.mask, dense, 0.0))
        rest = all(torch.equal(now, then) for now, then in zip(phase.others, before, strict=True))
        moments = [state["exp_avg"].abs().max() for state in phase.optimizer.state.values()]
        if at_dense and rest and not any(moments):
            back.append(step)
            masks.append(weights.mask.clone())
        if step > (back_at or 0):
            assert torch.equal(weights.mask, masks[-1]), "settled"
        rates.append(phase.optimizer.param_groups[0]["lr"])

    phase.run(after_step=look)
    assert back == ([back_at] if back_at else [])
    assert int(weights.mask.sum()) == round(len(weights) * 0.1)
    peak = run.spec.training.learning_rate
    assert peak is not None
    assert rates.count(peak) > 4
    assert max(rates) == peak
    if back_at is None:
        assert int(masks[0].sum()) == round(len(weights) * 0.1), "cut before the first step"
    else:
        assert rates[back_at - 1] < rates[back_at - 4] < peak, "the end of a cycle, of a model of which more is left"
        assert rates[-1] < peak


FORGET = {"l0": 4, "magnitude": 10, "obd": 6, "obs": 4, "rewind": 10, "rpp": 10, "movement": 1, "taylor": 1}


@pytest.mark.parametrize(("method", "empty"), FORGET.items())
@pytest.mark.parametrize("density", [0.5, 0.1, 0.03])
def test_what_forgets_its_task_learns_faster_the_less_of_it_is_left(method: str, empty: int, density: float) -> None:
    training: dict[str, object] = {"dense_baseline": True, "max_steps": 100, "learning_rate": None}
    pruning: dict[str, object] = {"reconstruct": False}
    spec = short_spec(method, target_sparsity=1 - density, training=training, pruning=pruning)
    expected = 2e-4 * (1 + (empty - 1) * (1 - density) ** 4)
    assert spec.resolved(3200, 384).training.learning_rate == pytest.approx(expected, rel=0.05)  # to two digits
    of_the_model = short_spec(method, training=training | {"start_from": "model"}).resolved(3200, 384)
    assert of_the_model.training.learning_rate == 4e-4, "what never knew its task"


def spec_of_steps(method: str, density: float, steps: int) -> PruningSpec:
    training: dict[str, object] = {"dense_baseline": True, "max_steps": steps, "learning_rate": None}
    return short_spec(method, target_sparsity=1 - density, training=training).resolved(3200, 384)


@pytest.mark.parametrize("density", [0.4, 0.3, 0.03])
@pytest.mark.parametrize("method", METHODS)
def test_what_would_forget_it_is_fitted_to_the_baseline_where_little_is_left(method: str, density: float) -> None:
    resolved = spec_of_steps(method, density, 100)
    by_weights = method in {"magnitude", "rewind", "rpp", "obd", "obs", "wanda"}
    fitted = density <= (0.3 if by_weights else 0.05) and method != "layerdrop" and resolved.trains
    assert resolved.pruning.reconstruct is fitted
    schedule = resolved.pruning.schedule
    if fitted:
        assert resolved.training.learning_rate == pytest.approx(2e-4 * (1 + 0.6 * (1 - density) ** 4), rel=0.05)
        specs = [spec_of_steps(method, density, steps) for steps in (60, 100, 125, 200, 250, 300, 500)]
        assert all((spec.pruning.reconstruct, spec.training.start_from) == (True, "dense") for spec in specs)
        longest = 900 if by_weights and density < 0.05 else 500
        assert [spec_of_steps(method, density, longest + more).pruning.reconstruct for more in (0, 1)] == [True, False]
        few, hundred, between, longer, later, epoch, late = [spec.training.learning_rate or 0.0 for spec in specs]
        assert longer == pytest.approx(2e-4 * (1 + 2.5 * (1 - density) ** 4), rel=0.05)
        assert few == hundred < between < longer
        if by_weights:
            assert longer > later > epoch == late == 2e-4
        else:
            assert longer == later == epoch == late
        if method == "magnitude":
            assert (schedule.shape, schedule.warmup) == ("one_shot", 0.0)
    if fitted and method not in {"magnitude", "rewind", "rpp", "wanda"}:
        assert (schedule.shape, schedule.warmup, schedule.cooldown) == ("cubic", 0.1, 0.5)
    if fitted and method == "rpp":
        cooldowns = [spec_of_steps(method, density, steps).pruning.schedule.cooldown for steps in (60, 100, 300)]
        assert cooldowns == [0.5, 0.6, 0.8], "a window of no more than 30 steps"
    assert resolved.resolved(3200, 384) == resolved


@pytest.mark.parametrize(
    "otherwise",
    [
        {"training": {"max_steps": 501}},
        {"training": {"dense_baseline": False}},
        {"training": {"start_from": "model"}},
        {"pruning": {"start_from_mask": True}},
        {"pruning": {"reconstruct": False}},
        {"method": "movement"},
        {
            "method": "movement",
            "target_sparsity": 0.97,
            "training": {"start_from": "dense"},
            "pruning": {"freeze_weights": True},
        },
        {"target_sparsity": 0.6},
    ],
    ids=str,
)
def test_only_short_runs_of_the_baseline_to_little_are_fitted_unasked(otherwise: dict[str, object]) -> None:
    changed = short_spec("magnitude", training={"dense_baseline": True, "max_steps": 60}).model_dump()
    for part, value in otherwise.items():
        changed[part] = {**changed[part], **value} if isinstance(value, dict) else value
    resolved = PruningSpec.model_validate(changed).resolved(3200, 384)
    assert resolved.pruning.reconstruct is False
    assert (resolved.pruning.schedule.shape, resolved.pruning.schedule.warmup) == ("cubic", 0.1)


def test_a_named_schedule_stays_where_what_is_left_is_fitted() -> None:
    short: dict[str, object] = {"dense_baseline": True, "max_steps": 60}
    for schedule in ({"shape": "linear"}, {"shape": "cubic", "warmup": 0.2}, {"shape": "one_shot", "warmup": 0.2}):
        spec = short_spec("magnitude", training=short, pruning={"schedule": schedule}).resolved(3200, 384)
        assert spec.pruning.reconstruct
        assert spec.pruning.schedule.shape == schedule["shape"]
        assert spec.pruning.schedule.warmup == schedule.get("warmup", 0.1)


def test_a_longer_run_that_is_to_be_fitted_prunes_its_baseline() -> None:
    training: dict[str, object] = {"dense_baseline": True, "max_steps": 3000}
    spec = short_spec("magnitude", training=training, pruning={"reconstruct": True}).resolved(3200, 384)
    assert spec.training.start_from == "dense"


@pytest.mark.parametrize("method", ["magnitude", "obs", "movement"])
def test_the_rate_rises_as_weights_go(method: str, tmp_path: Path) -> None:
    run = run_of(tmp_path, method)
    network = run._to_prune(run.fine_tune_dense())
    phase = FineTuning(network, run.material, pruner=(pruner := Pruner(network, run.spec, run.schedule)))
    pruner.begin()
    rates: list[float] = []
    phase.run(after_step=lambda step: rates.append(phase.optimizer.param_groups[0]["lr"]))
    peak, falls = run.spec.training.learning_rate, round(0.3 * run.steps)
    assert peak is not None
    for step, rate in enumerate(rates):
        gone = 1 - run.schedule.density(step)
        faster = (1 + 9 * gone**4) / (1 + 9 * 0.9**4) if FORGET[method] > 1 else 1.0
        cycle = min(1, (step + 1) / round(0.1 * run.steps), (run.steps - step) / falls)
        assert rate == pytest.approx(peak * cycle * faster)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_can_prune_the_dense_baseline(method: str, tmp_path: Path) -> None:
    if not METHODS[method].epochs:
        pytest.skip("it trains nothing by itself")
    spec = short_spec(method, training={"dense_baseline": True})
    result = short_run(save_tiny_model(tmp_path / "tiny"), tmp_path, spec)
    training = result.report["spec"]["training"]  # type: ignore[index]  # a document
    assert training["start_from"] == "dense"
    assert "steps more than the dense one" in str(result.report["notes"])
