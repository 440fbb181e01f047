"""The step bench times the right steps, and compares with what the original did."""

from pathlib import Path

import pytest
import torch

from benchmarks.original import SortedLinear, sort_in_each_forward
from benchmarks.step import limit_of, time_ways
from benchmarks.step_memory import Memory as Found
from benchmarks.step_memory import describe, held_bytes
from benchmarks.step_ways import UNTIMED, Ours, Setting, positions
from pruning_core.methods import METHODS
from pruning_core.schedule import Schedule
from tests.tiny import save_tiny_model, tiny_model


@pytest.fixture(scope="module")
def setting(tmp_path_factory: pytest.TempPathFactory) -> Setting:
    directory = save_tiny_model(tmp_path_factory.mktemp("model"))
    return Setting.of(directory, directory, steps=10)


@pytest.mark.parametrize("rounds", [10, 20, 50])
def test_timed_steps_lie_in_the_window_and_at_the_final_density(rounds: int) -> None:
    schedule = Schedule.from_shares(
        "cubic", total_steps=round(rounds / 0.06), warmup=0.1, cooldown=0.3, final_density=0.03
    )
    at = positions(schedule, rounds)
    middle = [schedule.density(at["middle"] + UNTIMED + 1 + step) for step in range(rounds)]
    final = [schedule.density(at["final"] + UNTIMED + 1 + step) for step in range(rounds)]
    assert all(0.03 < density < 1.0 for density in middle)
    assert set(final) == {0.03}
    assert at["final"] + UNTIMED + rounds < schedule.total_steps


@pytest.mark.parametrize("method", METHODS)
def test_what_is_timed_is_a_step_of_a_long_run(setting: Setting, method: str) -> None:
    spec = setting.spec(method)
    assert spec.training.start_from == "model", "few steps are timed, but not of a short run"
    at = positions(spec.schedule(2048), setting.steps)
    assert 0 <= at["middle"] < at["final"]


@pytest.mark.slow
def test_every_way_takes_steps(setting: Setting) -> None:
    timing = time_ways(["dense", "dense_stock", "sort_per_forward", *METHODS], setting)
    assert set(timing.at["middle"]) == {"dense", "dense_stock", "sort_per_forward", *METHODS}
    assert timing.worst("dense") == 1.0
    assert all(ratio > 0 for ratios in timing.at.values() for ratio in ratios.values())
    assert "obs" not in timing.at["final"]


def test_only_second_order_methods_and_other_loops_have_no_limit() -> None:
    unlimited = {name for name in (*METHODS, "dense_stock", "sort_per_forward") if limit_of(name) is None}
    assert unlimited == {"obd", "obs", "dense_stock", "sort_per_forward"}
    assert limit_of("movement") == limit_of("magnitude") == 1.10


def test_the_originals_layer_computes_with_the_top_share_and_passes_gradients_straight_through() -> None:
    torch.manual_seed(0)
    layer = SortedLinear(torch.nn.Linear(8, 4, bias=False))
    layer.scores.data.copy_(torch.randn(4, 8))
    layer.share = 0.25
    inputs = torch.randn(5, 8)
    threshold = layer.scores.detach().flatten().sort(descending=True).values[7]
    mask = (layer.scores.detach() >= threshold).float()
    assert mask.sum() == 8
    output = layer(inputs)
    torch.testing.assert_close(output, inputs @ (mask * layer.weight.detach()).T)
    output.sum().backward()
    gradient = inputs.sum(dim=0).expand(4, 8)  # of W ⊙ M
    assert layer.scores.grad is not None
    assert layer.weight.grad is not None
    torch.testing.assert_close(layer.scores.grad, gradient * layer.weight.detach())
    torch.testing.assert_close(layer.weight.grad, gradient * mask)


def test_every_prunable_layer_is_replaced() -> None:
    layers = sort_in_each_forward(tiny_model())
    assert sum(layer.weight.numel() for layer in layers) == 2 * (4 * 32 * 32 + 2 * 32 * 64)


def test_held_memory_counts_every_tensor_once(setting: Setting) -> None:
    weights = 2 * (4 * 32 * 32 + 2 * 32 * 64)
    dense = Ours(setting, None)
    dense.go_to(0)
    dense.step()
    # W, Adam's two moments; and a step counter of four bytes for each of twelve matrices
    assert held_bytes(dense.phase) == 12 * weights + 12 * 4
    movement = Ours(setting, "movement")
    movement.go_to(0)
    movement.step()
    # and S with its moments, W ⊙ M, and the strength of the penalty
    effective = 2 if setting.bf16 else 4
    assert held_bytes(movement.phase) == (24 + effective) * weights + 24 * 4 + 4


def test_memory_is_told_per_weight_and_over_dense(tmp_path: Path) -> None:
    told = describe({"dense": Found(1_000_000, 1600, 100, 0), "movement": Found(1_003_000, 3700, 100, 0)})
    assert told["movement"]["peak_over_dense_per_weight"] == 30.0
    assert told["movement"]["allowed_over_dense_per_weight"] == 12
    assert told["movement"]["held_per_weight"] == 37.0
