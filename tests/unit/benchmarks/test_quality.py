"""The quality bench: its runs are sound, its figures right, and what is done is not done again."""

import json
import random
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.csv
import pytest

from benchmarks import quality, quality_runs, quality_training
from benchmarks.quality import collect, work
from benchmarks.quality_runs import RECIPES, TUNED, Run, all_runs, tuning_runs
from benchmarks.quality_table import best, figure, required, summarise
from benchmarks.quality_training import Place, carry_out, read_record
from tests.tiny import reviews, save_tiny_model

ROWS = {"reviews": 6000, "snli": 9842, "qamr": 9000}
EVERY_RUN = [*all_runs(), *(run for method in TUNED for run in tuning_runs(method))]


def test_every_run_is_a_valid_spec_with_a_feasible_schedule() -> None:
    for run in EVERY_RUN:
        spec = run.spec()
        schedule = spec.schedule(ROWS[run.data])
        assert schedule.density(schedule.total_steps) == pytest.approx(0.5 if run.method == "dense" else run.density)
        assert spec.training.seed == run.seed


def test_no_two_runs_share_a_file(tmp_path: Path) -> None:
    place = Place(tmp_path, tmp_path, None, tmp_path, tmp_path)
    assert len({place.file(run) for run in EVERY_RUN}) == len(EVERY_RUN)


def test_dense_and_compared_runs_have_three_seeds_at_the_claimed_densities() -> None:
    runs = all_runs()
    assert {run.seed for run in runs if run.method == "dense"} == {1, 2, 3}
    for method in ("movement", "magnitude"):
        for density in (0.1, 0.03):
            assert {run.seed for run in runs if run == Run(method, density, run.seed)} == {1, 2, 3}


def test_runs_train_five_epochs_and_eight_with_a_teacher() -> None:
    for run in all_runs():
        if run.data == "reviews":
            assert run.spec().training.epochs == (8 if run.distilled else 5)


def record(run: Run, value: float) -> dict[str, Any]:
    facts = {"method": run.method, "density": run.density, "distillation": run.distilled, "data": run.data}
    return facts | {"tuning": dict(run.tuning), "metric": "accuracy", "eval": {"accuracy": value}, "dense_eval": None}


def test_means_and_deviations_are_those_of_the_seeds() -> None:
    values = [random.Random(seed).uniform(0.7, 0.9) for seed in range(3)]
    found = summarise(record(Run("movement", 0.1, seed), value) for seed, value in enumerate(values))
    (row,) = found["rows"]
    assert row["n"] == 3
    assert row["mean"] == pytest.approx(sum(values) / 3)
    assert row["sd"] == pytest.approx(statistics.stdev(values))
    assert figure([0.8]) == {"mean": 0.8, "sd": None, "n": 1}


def test_trials_and_other_data_stay_out_of_the_table() -> None:
    trial = Run("magnitude", 0.1, tuning=(("training.learning_rate", 1e-4),))
    found = summarise([record(trial, 0.9), record(Run("movement", 0.1, data="snli"), 0.7)])
    assert found["rows"] == []
    assert [other["data"] for other in found["others"]] == ["snli"]


def test_three_points_over_magnitude_are_enough_and_less_is_not() -> None:
    def verdict(movement: float) -> bool | None:
        rows = [record(Run("movement", 0.03), movement), record(Run("magnitude", 0.03), 0.80)]
        return required(summarise(rows))["movement over magnitude at 3% by 3.0 points"]

    assert verdict(0.83) is True
    assert verdict(0.8299) is False
    assert set(required(summarise([])).values()) == {None}


def test_one_lucky_seed_does_not_beat_three() -> None:
    rows = [record(Run("movement", 0.1, seed), 0.80) for seed in (1, 2, 3)] + [record(Run("taylor", 0.1), 0.85)]
    top = best(summarise(rows), 0.1, distilled=False)
    assert top is not None
    assert top["method"] == "movement"


@pytest.fixture(scope="module")
def tiny_place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tmp_path_factory.mktemp("quality")
    model = save_tiny_model(folder / "model")
    for name, rows in {"train": 480, "validation": 200}.items():
        pyarrow.csv.write_csv(reviews(rows, seed=rows), folder / f"{name}.csv")
    return Place(model, folder, None, folder / "results", folder / "cache")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    rate = {"training.learning_rate": 5e-3, "training.max_length": 32}
    monkeypatch.setattr(quality_runs, "COMMON", {**quality_runs.COMMON, **rate})


@pytest.mark.usefixtures("quick")
def test_a_bench_of_a_tiny_model_learns_keeps_its_runs_and_draws_them(
    tiny_place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [
        Run("movement", 0.1, distilled=True),  # trains its teacher first
        Run("dense"),
        Run("movement", 0.1),
        Run("magnitude", 0.1),
    ]
    trained: list[str] = []

    def watched(run: Run, place: Place) -> dict[str, Any]:
        trained.append(run.name)
        return carry_out(run, place)

    monkeypatch.setattr(quality, "carry_out", watched)
    work(runs, tiny_place)
    assert trained == ["movement-10-distilled-seed1", "movement-10-seed1", "magnitude-10-seed1"]
    work(runs, tiny_place)
    assert len(trained) == 3, "What is done is not done again."

    dense, movement = (read_record(run, tiny_place) for run in (Run("dense"), Run("movement", 0.1)))
    assert dense is not None
    assert dense["eval"]["accuracy"] > 0.9
    assert movement is not None
    counted = [sum(map(sum, movement["histogram"][part])) for part in ("kept", "removed")]
    assert counted[0] == sum(layer["kept"] for layer in movement["layers"])
    assert sum(counted) == sum(layer["total"] for layer in movement["layers"])

    summary = collect(tiny_place)
    assert summary["dense"]["n"] == 1
    assert [(row["method"], row["distillation"]) for row in summary["rows"]] == [
        ("movement", False),
        ("magnitude", False),
        ("movement", True),
    ]
    assert json.loads((tiny_place.results / "quality.json").read_text()) == summary
    drawn = "No pictures" not in capsys.readouterr().out
    assert (tiny_place.results / "quality" / "scores.png").exists() == drawn


def change_recipe(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    monkeypatch.setitem(RECIPES, "taylor", {"training.learning_rate": 2e-4})


def change_start(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    monkeypatch.setitem(RECIPES, "taylor", {"start": "dense"})


def change_a_default(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    found = json.loads(file.read_text())
    found["resolved"]["training"]["learning_rate"] *= 2
    file.write_text(json.dumps(found))


@pytest.mark.parametrize("change", [change_recipe, change_start, change_a_default])
def test_a_run_is_done_again_when_its_settings_have_changed(
    change: Callable[[pytest.MonkeyPatch, Path], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run, place = Run("taylor", 0.1), Place(tmp_path, tmp_path, None, tmp_path, tmp_path)
    (tmp_path / "config.json").write_text('{"hidden_size": 384}')
    spec = run.spec()
    made: dict[str, Any] = {
        "spec": spec.model_dump(mode="json"),
        "resolved": spec.resolved(6000, 384).model_dump(mode="json"),
    }
    made |= {"resolved": spec.resolved(6000, 384).model_dump(mode="json"), "train_items": 6000}
    made |= {"start": "pretrained", "dense": None}
    quality_training.write_record(place.file(run), made)
    assert read_record(run, place) == made
    older = json.loads(json.dumps(made))
    del older["resolved"]["training"]["auto_batch"], older["resolved"]["pruning"]["reconstruct"]
    quality_training.write_record(place.file(run), older)
    assert read_record(run, place) == older, "made before there was a field whose default says what was done then"
    change(monkeypatch, place.file(run))
    assert read_record(run, place) is None


def test_the_list_knows_the_records_that_are_committed(capsys: pytest.CaptureFixture[str]) -> None:
    names = {file.stem for file in (quality.RESULTS / "quality" / "runs").glob("*.json")}
    assert names, "there is nothing to try this on"
    quality.main(["--list"])
    states = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert {name for name, state in states.items() if state != "to do"} == names
    assert not [name for name in names if states[name] == "stale"], "what is told is how runs are now"
