"""A pruned model as the model of another run: its zeros stay and count, or come back where nobody says so."""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from pruning_core import PruningResult, PruningSpec, prune
from pruning_core.methods import METHODS
from pruning_core.prunable import NothingToPrune
from pruning_core.schedule import Schedule
from tests.tiny import reviews, save_tiny_model
from tests.unit.pruning_core.runs import PRUNABLE, short_run, short_spec
from tests.unit.pruning_core.test_resume import assert_resumes

#: What the first run removes, and what the second is asked for.
FIRST, SECOND = 0.6, 0.9
ABLE = [name for name, method in METHODS.items() if method.forgets_zeros is None]


@pytest.fixture(scope="module")
def pruned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of which 60 % of the prunable weights have gone, unevenly over its matrices."""
    folder = tmp_path_factory.mktemp("pruned")
    short_run(save_tiny_model(folder / "dense"), folder, short_spec("magnitude", target_sparsity=FIRST))
    return folder / "model"


def spec(method: str = "movement", **pruning: object) -> PruningSpec:
    target = 0.75 if method == "head" else SECOND
    return short_spec(method, target_sparsity=target, pruning={"start_from_mask": True, **pruning})


def matrices_of(directory: Path, result: PruningResult) -> Tensor:
    weights = load_file(directory / "model.safetensors")
    return torch.cat([weights[f"bert.{layer.name}.weight"].flatten() for layer in result.layers])


def assert_zeros_stay(pruned: Path, output: Path, result: PruningResult, target: float, unit: int = 1) -> None:
    before, after = matrices_of(pruned, result), matrices_of(output / "model", result)
    assert not bool(after[before == 0].any()), "a zero came back"
    assert abs(int((after != 0).sum()) - round((1 - target) * PRUNABLE)) <= unit // 2
    assert sum(layer.kept for layer in result.layers) == int((after != 0).sum())


@pytest.mark.parametrize("method", ABLE)
def test_zeros_stay_and_count_with_every_method(method: str, pruned: Path, tmp_path: Path) -> None:
    if method == "head":  # whole heads of what single weights have left
        result = short_run(pruned, tmp_path, spec(method))
        before, after = matrices_of(pruned, result), matrices_of(tmp_path / "model", result)
        assert not bool(after[before == 0].any())
        assert int((after != 0).sum()) < int((before != 0).sum())
        return
    result = short_run(pruned, tmp_path, spec(method))
    assert_zeros_stay(pruned, tmp_path, result, SECOND)


@pytest.mark.parametrize("scope", ["local", "budget"])
def test_zeros_stay_and_count_in_every_scope(scope: str, pruned: Path, tmp_path: Path) -> None:
    result = short_run(pruned, tmp_path, spec(scope=scope))
    assert_zeros_stay(pruned, tmp_path, result, SECOND)
    if scope == "local":  # every matrix keeps the same share of what it had
        before = load_file(pruned / "model.safetensors")
        for layer in result.layers:
            had = int((before[f"bert.{layer.name}.weight"] != 0).sum())
            assert abs(layer.kept - had * (1 - SECOND) / (1 - FIRST)) <= 1, layer.name


@pytest.mark.parametrize(("method", "modules"), [("movement", "attention"), ("head", None)])
def test_zeros_stay_in_the_matrices_that_a_run_leaves_out(
    method: str, modules: str | None, pruned: Path, tmp_path: Path
) -> None:
    result = short_run(pruned, tmp_path, spec(method, modules=modules))
    assert all("attention" in layer.name for layer in result.layers)
    before, after = (load_file(folder / "model.safetensors") for folder in (pruned, tmp_path / "model"))
    left_out = [name for name in before if name.endswith(("intermediate.dense.weight", "output.dense.weight"))]
    left_out = [name for name in left_out if "attention" not in name]
    assert len(left_out) == 4
    for name in left_out:
        assert int((before[name] == 0).sum()) > 0.3 * before[name].numel()
        assert torch.equal(before[name] == 0, after[name] == 0), name
        assert not torch.equal(before[name], after[name]), "what is left trains"


@pytest.mark.parametrize("granularity", ["row", "column", {"block": [8, 8]}, "structured"])
@pytest.mark.parametrize("scope", ["global", "local"])
def test_units_are_counted_by_what_is_left_of_them(
    granularity: object, scope: str, pruned: Path, tmp_path: Path
) -> None:
    result = short_run(pruned, tmp_path, spec("taylor", granularity=granularity, scope=scope))
    assert_zeros_stay(pruned, tmp_path, result, SECOND, unit=64)


def test_the_density_begins_where_the_model_stands(pruned: Path, tmp_path: Path) -> None:
    seen: list[float] = []
    short_run(pruned, tmp_path, spec(), on_progress=lambda progress: seen.append(progress.density))
    assert seen[0] == pytest.approx(1 - FIRST, abs=1e-4)
    assert seen == sorted(seen, reverse=True)
    assert seen[-1] == pytest.approx(1 - SECOND)


def test_the_schedule_is_the_papers_between_any_two_densities() -> None:
    schedule = Schedule("cubic", 100, 10, 30, 0.1).from_density(0.4)
    assert schedule.density(5) == 0.4
    assert schedule.density(40) == pytest.approx(0.1 + 0.3 * (1 - 30 / 60) ** 3)
    assert schedule.density(80) == 0.1


@pytest.mark.parametrize("method", ["movement", "l0", "soft_movement", "rpp", "rewind"])
def test_a_target_that_is_met_already_trains_what_is_left(method: str, pruned: Path, tmp_path: Path) -> None:
    asked = short_spec(method, target_sparsity=FIRST, pruning={"start_from_mask": True})
    result = short_run(pruned, tmp_path, asked)
    before, after = matrices_of(pruned, result), matrices_of(tmp_path / "model", result)
    assert torch.equal(before != 0, after != 0)
    assert not torch.equal(before, after)


def test_a_target_below_what_is_gone_is_refused_before_training(pruned: Path, tmp_path: Path) -> None:
    def stop(progress: object) -> None:
        raise AssertionError("a step was taken")

    asked = short_spec(target_sparsity=0.5, pruning={"start_from_mask": True}, training={"dense_baseline": True})
    words = r"target_sparsity is 0\.5, and 60\.00% of .* Raise target_sparsity to 0\.6 or more, or leave out"
    with pytest.raises(NothingToPrune, match=words):
        short_run(pruned, tmp_path, asked, on_progress=stop)


def test_zeros_may_come_back_where_nobody_asks_for_them(pruned: Path, tmp_path: Path) -> None:
    result = short_run(pruned, tmp_path, short_spec("magnitude", target_sparsity=0.3))
    assert int((matrices_of(tmp_path / "model", result) != 0).sum()) == round(0.7 * PRUNABLE)


@pytest.mark.parametrize("method", ["movement", "l0", "magnitude"])
def test_a_run_from_a_mask_goes_on_bit_for_bit(method: str, pruned: Path, tmp_path: Path) -> None:
    assert_resumes(pruned, tmp_path, spec(method), cut=13)


def test_a_new_task_gets_a_new_head_and_old_zeros(pruned: Path, tmp_path: Path) -> None:
    """Two other labels: the head would fit by its shape, and has learnt something else."""
    table = reviews(96)
    other = table.set_column(1, "label", pc.if_else(pc.equal(table["label"], "positive"), "up", "down"))
    still = spec(freeze_weights=True)
    still = still.model_copy(update={"training": still.training.model_copy(update={"learning_rate": 1e-12})})
    result = prune(pruned, other, still, tmp_path, evaluation=other.slice(0, 40))
    assert_zeros_stay(pruned, tmp_path, result, SECOND)
    assert result.report["data"]["labels"] == ["down", "up"]  # type: ignore[index]  # the report is JSON data
    before, after = (
        load_file(folder / "model.safetensors")["classifier.weight"] for folder in (pruned, tmp_path / "model")
    )
    assert float((before - after).abs().median()) > 1e-3, "the head of the old task is still there"


def test_three_labels_instead_of_two_are_another_task(pruned: Path, tmp_path: Path) -> None:
    table = reviews(96)
    labels = pa.array([("bad", "good", "middling")[row % 3] for row in range(96)])
    result = prune(pruned, table.set_column(1, "label", labels), spec(), tmp_path)
    assert_zeros_stay(pruned, tmp_path, result, SECOND)


def test_a_pruned_model_teaches(pruned: Path, tmp_path: Path) -> None:
    dense = save_tiny_model(tmp_path / "dense", seed=3)
    asked = short_spec(distillation={"teacher": "a pruned one"})
    result = prune(dense, reviews(96), asked, tmp_path / "out", evaluation=reviews(40), teacher=pruned)
    assert result.density.prunable == pytest.approx(0.1, abs=1e-4)
