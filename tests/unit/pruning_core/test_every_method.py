"""What every method owes: the exact count, no empty matrix, real zeros, and an export that computes the same."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoModelForSequenceClassification, PreTrainedModel

from pruning_core import PruningResult, delivery
from pruning_core.export import export_model
from pruning_core.masking import MaskedWeights
from pruning_core.methods import METHODS
from tests.tiny import save_tiny_model
from tests.unit.pruning_core.runs import NEEDS, PRUNABLE, short_run, short_spec

#: Weights of one unit: a head of 8 rows in three matrices and 8 columns of a fourth; a layer; else one weight.
UNIT = {"head": 4 * 8 * 32, "layerdrop": PRUNABLE // 2}


@dataclass
class Finished:
    """A run's result, its files, and what its masked model answered before it was exported."""

    method: str
    result: PruningResult
    folder: Path
    logits: Tensor

    @property
    def weights(self) -> dict[str, Tensor]:
        return load_file(self.folder / "model" / "model.safetensors")

    def masks(self) -> Iterator[tuple[str, "np.ndarray[tuple[int, ...], np.dtype[np.bool_]]"]]:
        with safe_open(self.folder / "masks.safetensors", "numpy") as file:
            for name, shape in json.loads(file.metadata()["shapes"]).items():
                bits = np.unpackbits(file.get_tensor(name), bitorder="little", count=int(np.prod(shape)))
                yield name, bits.reshape(shape).astype(bool)


def inputs() -> Tensor:
    return torch.randint(5, 25, (6, 12), generator=torch.Generator().manual_seed(3))


@torch.inference_mode()
def answer(model: PreTrainedModel) -> Tensor:
    logits = model.train(mode=False)(input_ids=inputs().to(model.device)).logits
    assert isinstance(logits, Tensor)
    return logits.cpu()


@pytest.fixture(scope="module", params=METHODS)
def finished(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    folder = tmp_path_factory.mktemp(request.param)
    model_dir = save_tiny_model(folder / "pretrained")
    seen: list[Tensor] = []

    def watched(model: PreTrainedModel, tokenizer: object, masked: MaskedWeights, directory: Path) -> PreTrainedModel:
        seen.append(answer(model))
        return export_model(model, tokenizer, masked, directory)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(delivery, "export_model", watched)
        result = short_run(model_dir, folder / "out", short_spec(request.param))
    return Finished(request.param, result, folder / "out", seen[0])


def test_the_kept_count_is_the_target_to_the_unit(finished: Finished) -> None:
    density = 1 - float(str(NEEDS.get(finished.method, {}).get("target_sparsity", 0.9)))
    total = sum(layer.total for layer in finished.result.layers)
    assert total == (2 * 4 * 32 * 32 if finished.method == "head" else PRUNABLE)
    kept = sum(layer.kept for layer in finished.result.layers)
    assert abs(kept - density * total) <= UNIT.get(finished.method, 1)
    if finished.method not in UNIT:
        assert kept == round(density * total)


def test_no_matrix_ends_empty(finished: Finished) -> None:
    empty = [layer.name for layer in finished.result.layers if layer.kept == 0]
    assert bool(empty) is (finished.method == "layerdrop"), "but those of layers that go as a whole"


def test_the_exported_zeros_are_the_masks_and_no_more(finished: Finished) -> None:
    weights = finished.weights
    for name, mask in finished.masks():
        assert np.array_equal(weights[f"bert.{name}.weight"].numpy() != 0, mask), name


def test_the_exported_model_answers_as_the_masked_one(finished: Finished) -> None:
    stock = AutoModelForSequenceClassification.from_pretrained(finished.folder / "model", attn_implementation="eager")
    assert float((answer(stock) - finished.logits).abs().max()) <= 1e-6


def test_what_is_outside_the_pruned_matrices_has_no_new_zeros(finished: Finished) -> None:
    pruned = {f"bert.{name}.weight" for name, _ in finished.masks()}
    for name, tensor in finished.weights.items():
        if name not in pruned and tensor.dim() == 2 and "embeddings" not in name:
            assert not bool((tensor == 0).any()), name


EXTREMES = [("movement", "global"), ("movement", "local"), ("movement", "budget"), ("magnitude", "local"),
            ("l0", "global"), ("soft_movement", "global"), ("obs", "global"), ("platon", "local")]  # fmt: skip


@pytest.mark.parametrize(("method", "scope"), EXTREMES)
@pytest.mark.parametrize("sparsity", [0.999, 0.001])
def test_extreme_targets_are_met_exactly(method: str, scope: str, sparsity: float, tmp_path: Path) -> None:
    model_dir = save_tiny_model(tmp_path / "pretrained")
    spec = short_spec(method, target_sparsity=sparsity, pruning={"scope": scope})
    result = short_run(model_dir, tmp_path / "out", spec)
    assert sum(layer.kept for layer in result.layers) == round((1 - sparsity) * PRUNABLE)
    assert all(layer.kept for layer in result.layers)


@pytest.mark.parametrize("method", [m for m in METHODS if "one_shot" in METHODS[m].shapes])
def test_a_single_cut_before_the_first_step_works_with_every_method(method: str, tmp_path: Path) -> None:
    """Without warm-up and without cool-down: the cut comes first, and training goes on to the end."""
    model_dir = save_tiny_model(tmp_path / "pretrained")
    schedule = {"schedule": {"shape": "one_shot", "warmup": 0.0, "cooldown": 0.0}}
    result = short_run(model_dir, tmp_path / "out", short_spec(method, pruning=schedule, training={"max_steps": 3}))
    kept, total = sum(layer.kept for layer in result.layers), sum(layer.total for layer in result.layers)
    density = 1 - float(str(NEEDS.get(method, {}).get("target_sparsity", 0.9)))
    assert abs(kept - density * total) <= UNIT.get(method, 1)


@pytest.mark.parametrize("method", [m for m in METHODS if "cubic" in METHODS[m].shapes and METHODS[m].follows_schedule])
def test_without_warm_up_and_cool_down_the_last_step_ends_at_the_target(method: str, tmp_path: Path) -> None:
    model_dir = save_tiny_model(tmp_path / "pretrained")
    spec = short_spec(method, pruning={"schedule": {"warmup": 0.0, "cooldown": 0.0}})
    result = short_run(model_dir, tmp_path / "out", spec)
    kept, total = sum(layer.kept for layer in result.layers), sum(layer.total for layer in result.layers)
    density = 1 - float(str(NEEDS.get(method, {}).get("target_sparsity", 0.9)))
    assert abs(kept - density * total) <= UNIT.get(method, 1)
    zeros = load_file(tmp_path / "out" / "model" / "model.safetensors")
    nonzero = sum(int((zeros[f"bert.{layer.name}.weight"] != 0).sum()) for layer in result.layers)
    assert nonzero == kept, "every weight that counts as kept is there"
