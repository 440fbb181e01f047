"""Who calls the library is told what the service tells: where a run is likely to disappoint."""

import warnings
from pathlib import Path

import pytest

from pruning_core import Advice, prune
from pruning_core.advice import advice_for
from tests.tiny import reviews, save_tiny_model
from tests.unit.pruning_core.runs import short_run, short_spec


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("model"))


def test_a_run_gives_its_advice_as_warnings(model_dir: Path, tmp_path: Path) -> None:
    spec = short_spec("magnitude")
    with pytest.warns(Advice) as told:
        result = short_run(model_dir, tmp_path, spec)
    words = [str(each.message) for each in told]
    assert words == list(advice_for(spec, 24))
    assert any("Give it 60 steps or more" in each for each in words)
    assert all(each.filename.endswith("runs.py") for each in told), "the caller is pointed at"
    assert "curves" not in repr(result), "the report is not what a prompt should print"


def test_where_nothing_is_to_be_said_nothing_is(model_dir: Path, tmp_path: Path) -> None:
    spec = short_spec(target_sparsity=0.5, training={"dense_baseline": True})
    with warnings.catch_warnings():
        warnings.simplefilter("error", Advice)
        short_run(model_dir, tmp_path, spec)


def test_a_job_has_been_told_at_submit(model_dir: Path, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", Advice)
        prune(model_dir, reviews(96), short_spec("magnitude"), tmp_path, illustrated=False, job={"method": "magnitude"})


@pytest.mark.parametrize(
    ("training", "density", "told"),
    [
        ({"max_steps": 60}, 0.1, [True, False]),
        ({"max_steps": 60}, 0.05, [True, True]),
        ({"max_steps": 250}, 0.1, [True, False]),
        ({"max_steps": 308}, 0.03, [True, False]),
        ({"max_steps": 308}, 0.1, [False, False]),
        ({"max_steps": 60}, 0.5, [True, False]),
        ({"max_steps": 60, "start_from": "dense"}, 0.1, [False, False]),
        ({"max_steps": 150, "start_from": "dense"}, 0.03, [False, True]),
        ({"max_steps": 60, "start_from": "model"}, 0.1, [False, True]),
    ],
    ids=str,
)
def test_frozen_weights_are_told_whose_they_are_and_how_long_masks_take(
    training: dict[str, object], density: float, told: list[bool]
) -> None:
    steps = training["max_steps"]
    assert isinstance(steps, int)
    training = {"dense_baseline": True, **training}
    frozen = short_spec(target_sparsity=1 - density, training=training, pruning={"freeze_weights": True})
    words = list(advice_for(frozen, steps))
    assert [
        any(part in each for each in words) for part in ("those of the dense baseline", "200 steps or more")
    ] == told
    slowest = short_spec("l0", target_sparsity=1 - density, training=training, pruning={"freeze_weights": True})
    slow = any("'soft_movement', whose masks learn faster" in each for each in advice_for(slowest, steps))
    assert slow is (steps < 200 and density < 0.15)
    assert not any("learn faster" in each for each in words)
    trained = short_spec(target_sparsity=1 - density, training=training)
    assert not any("freeze_weights" in each for each in advice_for(trained, steps))
