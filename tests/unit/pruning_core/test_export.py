"""Every supported family: prune, export, reload with stock transformers, same logits; and what is never shipped."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from transformers import PreTrainedModel

from pruning_core.architectures import ARCHITECTURES
from pruning_core.export import ExportMismatch, export_masks, export_model
from pruning_core.masking import MaskedWeights
from pruning_core.prunable import prunable_matrices
from pruning_core.pruner import Pruner
from pruning_core.report import densities
from pruning_core.schedule import Schedule
from tests.families import answer, built
from tests.tiny import tiny_model, tiny_tokenizer
from tests.unit.pruning_core.runs import short_spec


def pruned(model: PreTrainedModel, density: float = 0.1) -> MaskedWeights:
    """A model pruned in one step, without training."""
    pruner = Pruner(model, short_spec("magnitude"), Schedule("one_shot", 1, 0, 0, density))
    pruner.begin()
    pruner.weights.settle()
    return pruner.weights


@pytest.mark.parametrize("model_type", ARCHITECTURES)
def test_the_exported_model_is_the_masked_model(model_type: str, tmp_path: Path) -> None:
    model = built(lambda: tiny_model(model_type, num_labels=3))
    masked = pruned(model)
    export_model(model, tiny_tokenizer(), masked, tmp_path / "model")

    stock: PreTrainedModel = type(model).from_pretrained(tmp_path / "model")
    assert torch.equal(answer(stock.train(mode=False)), answer(model))
    zeros = sum(int((matrix.parameter == 0).sum()) for matrix in prunable_matrices(stock))
    assert zeros == len(masked) - round(0.1 * len(masked))


def test_packed_masks_unpack_to_the_non_zeros_of_the_model(tmp_path: Path) -> None:
    model = tiny_model()
    masked = pruned(model)
    export_masks(masked, tmp_path / "masks.safetensors")
    with safe_open(tmp_path / "masks.safetensors", "numpy") as file:
        for matrix in masked.matrices:
            bits = file.get_tensor(matrix.name)
            mask = np.unpackbits(bits, bitorder="little", count=matrix.parameter.numel())
            assert np.array_equal(mask.astype(bool), matrix.parameter.detach().numpy().ravel() != 0)


def test_a_model_with_values_outside_its_mask_is_never_shipped(tmp_path: Path) -> None:
    model = tiny_model()
    masked = pruned(model)
    with torch.no_grad():
        masked.matrices[0].parameter.fill_(1.0)
    with pytest.raises(ExportMismatch, match="outside its mask"):
        export_model(model, tiny_tokenizer(), masked, tmp_path / "model")


def test_the_three_densities_divide_by_three_different_wholes() -> None:
    model = tiny_model()
    masked = pruned(model)
    kept, prunable = sum(masked.kept()), len(masked)
    per_layer_extras = 4 * 32 + 64 + 32 + 2 * 2 * 32  # biases of six linears, two LayerNorms
    encoder = prunable + 2 * per_layer_extras
    whole = sum(p.numel() for p in model.parameters())
    result = densities(model, masked)
    assert result.prunable == pytest.approx(kept / prunable)
    assert result.encoder == pytest.approx((encoder - (prunable - kept)) / encoder)
    assert result.model == pytest.approx((whole - (prunable - kept)) / whole)
