"""Under autocast alone the model holds its effective weights rounded: cheaper, and the same to the bit."""

from pathlib import Path

import pytest
import torch

import pruning_core.run
from pruning_core import PruningSpec
from pruning_core.methods import METHODS
from pruning_core.pruner import Pruner
from tests.tiny import save_tiny_model
from tests.unit.pruning_core.runs import short_run, short_spec

BF16: dict[str, object] = {"precision": "bf16"}
#: Further runs that read, or write, what the model computes with.
VARIANTS: dict[str, PruningSpec] = {
    "frozen weights": short_spec(pruning={"freeze_weights": True}, training=BF16),
    "blocks": short_spec("taylor", pruning={"granularity": {"block": [8, 8]}}, training=BF16),
    "scores by sensitivity": short_spec(pruning={"params": {"score_init": "sensitivity"}}, training=BF16),
    "a short run's rewinding": short_spec("rewind", training=BF16 | {"dense_baseline": True, "start_from": "dense"}),
    "a short run's rpp": short_spec("rpp", training=BF16 | {"dense_baseline": True, "start_from": "dense"}),
    "hidden states": short_spec(distillation={"hidden": 1.0}, training=BF16 | {"dense_baseline": True}),
    "dropout": short_spec(training=BF16 | {"dropout": None}),
}


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("model"))


def formats(model_dir: Path, folder: Path, spec: PruningSpec) -> set[torch.dtype]:
    """Carry a run out with weights rounded once and by autocast; what models computed in, the results being equal."""
    seen: set[torch.dtype] = set()

    class Watched(Pruner):
        def begin(self) -> None:
            super().begin()
            seen.update(matrix.parameter.dtype for matrix in self.weights.matrices)

    class Wide(Pruner):
        def __init__(self, *args: object, **rest: object) -> None:
            super().__init__(*args, **(rest | {"autocast_alone": False}))  # type: ignore[arg-type]

        def begin(self) -> None:
            super().begin()
            assert {matrix.parameter.dtype for matrix in self.weights.matrices} == {torch.float32}

    results = []
    for kind in (Watched, Wide):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(pruning_core.run, "Pruner", kind)
            results.append(short_run(model_dir, folder / kind.__name__, spec))
    ours, plain = results
    assert ours.evaluation == plain.evaluation
    assert ours.report["curves"] == plain.report["curves"]
    for name in ("model/model.safetensors", "masks.safetensors"):
        assert (folder / "Watched" / name).read_bytes() == (folder / "Wide" / name).read_bytes(), name
    return seen


@pytest.mark.parametrize("method", METHODS)
def test_every_method_ends_the_same_to_the_bit(method: str, model_dir: Path, tmp_path: Path) -> None:
    found = formats(model_dir, tmp_path, short_spec(method, training=BF16))
    assert found == {torch.float32 if METHODS[method].computes_in_fp32 else torch.bfloat16}


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_kind_of_run_ends_the_same_to_the_bit(variant: str, model_dir: Path, tmp_path: Path) -> None:
    assert formats(model_dir, tmp_path, VARIANTS[variant]) == {torch.bfloat16}


@pytest.mark.parametrize("family", ["albert", "deberta-v2", "distilbert", "gpt2", "mpnet", "t5"])
def test_every_kind_of_layer_ends_the_same_to_the_bit(family: str, tmp_path: Path) -> None:
    model_dir = save_tiny_model(tmp_path / "model", family)
    assert formats(model_dir, tmp_path, short_spec(training=BF16)) == {torch.bfloat16}


@pytest.mark.parametrize(
    "training", [{"precision": "fp32"}, {"precision": "bf16", "gradient_accumulation": 2, "batch_size": 4}]
)
def test_what_is_not_under_autocast_or_adds_up_gradients_stays_in_fp32(
    training: dict[str, object], model_dir: Path, tmp_path: Path
) -> None:
    assert formats(model_dir, tmp_path, short_spec(training=training)) == {torch.float32}
