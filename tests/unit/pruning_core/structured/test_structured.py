"""Smaller models: the same answers with dead heads and neurons gone, in every family that can; and what is refused."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import (
    AutoModelForImageClassification,
    AutoModelForQuestionAnswering,
    AutoModelForTokenClassification,
    PreTrainedModel,
)

from pruning_core import StructuredError, load_structured, save_structured
from pruning_core.architectures import ARCHITECTURES
from pruning_core.probing import random_inputs
from pruning_core.prunable import prunable_matrices
from pruning_core.structured.artifact import kept_of
from pruning_core.structured.blocks import Kept, NotReducible, blocks_of
from pruning_core.structured.removal import remove_dead
from tests.families import built, family, of
from tests.tiny import tiny_model, tiny_tokenizer

SMALLER: dict[str, Callable[[], PreTrainedModel]] = {
    **{name: family(name) for name, architecture in ARCHITECTURES.items() if architecture.feed_forward},
    "albert, two groups of two": of(
        AutoModelForTokenClassification, "albert", num_hidden_layers=4, num_hidden_groups=2, inner_group_num=2
    ),
    "deberta-v2, shared keys": of(AutoModelForQuestionAnswering, "deberta-v2", share_att_key=True),
    "vit, no biases of queries": of(AutoModelForImageClassification, "vit", qkv_bias=False),
}
OTHERS = sorted(name for name, architecture in ARCHITECTURES.items() if architecture.feed_forward is None)
every_family = pytest.mark.parametrize("name", SMALLER)


@torch.inference_mode()
def answer(model: PreTrainedModel) -> Tensor:
    """Logits of rows of which one is padded, where the model reads texts."""
    inputs = random_inputs(model.config, rows=3, tokens=9)
    if "input_ids" in inputs:
        inputs["attention_mask"] = torch.ones(3, 9, dtype=torch.long)
        inputs["attention_mask"][1, 5:] = 0
    found = model(**inputs)[0]
    assert isinstance(found, Tensor)
    return found


@torch.no_grad()
def kill(model: PreTrainedModel, *, whole_layer: bool = False) -> None:
    """Zero, by the matrices' names alone: in each block head 1's outputs and head 2's values, and twelve neurons.

    Of those ten have a dead column in the second map, and five a dead row in the first, so that three have both.
    """
    architecture = ARCHITECTURES[model.config.model_type]
    assert architecture.feed_forward is not None
    for matrix in prunable_matrices(model):
        place = architecture.place(matrix.name)
        assert place is not None
        weight = matrix.parameter.T if matrix.transposed else matrix.parameter
        if matrix.heads is not None and matrix.heads.axis == "in":
            size = matrix.heads.size
            weight[:, size : 2 * size] = 0
            if whole_layer:
                weight[:] = 0
        elif place[1] == architecture.queries[-1]:
            assert matrix.heads is not None
            start = weight.shape[0] - (matrix.heads.count - 2) * matrix.heads.size
            weight[start : start + matrix.heads.size] = 0
        elif place[1] == architecture.feed_forward[0]:
            weight[20:25] = 0
        elif place[1] == architecture.feed_forward[1]:
            weight[:, 13:23] = 0
            if whole_layer:
                weight[:] = 0


@every_family
def test_a_model_without_its_dead_heads_and_neurons_answers_the_same(name: str) -> None:
    model = built(SMALLER[name])
    kill(model)
    before = answer(model)
    smaller, kept = remove_dead(model)
    assert set(kept.values()) == {Kept((0, 3), 64 - 12)}
    assert torch.allclose(answer(smaller), before, rtol=0, atol=1e-5)
    assert torch.equal(answer(model), before)  # the model itself is left alone
    assert sum(p.numel() for p in smaller.parameters()) < sum(p.numel() for p in model.parameters())
    assert {(block.heads, block.neurons) for block in blocks_of(smaller).values()} == {(2, 52)}


@every_family
def test_a_head_and_a_neuron_stay_where_all_are_dead(name: str) -> None:
    model = built(SMALLER[name])
    kill(model, whole_layer=True)
    smaller, kept = remove_dead(model)
    assert set(kept.values()) == {Kept((0,), 1)}
    assert torch.allclose(answer(smaller), answer(model), rtol=0, atol=1e-5)


def test_what_a_constant_neuron_always_says_is_not_lost() -> None:
    """A neuron without inputs still says act(bias) through a live column: dropping it would change the answers."""
    model = built(family("bert"))
    block = next(iter(blocks_of(model).values()))
    with torch.no_grad():
        block.first.weight[7] = 0
        model.get_parameter("bert.encoder.layer.0.intermediate.dense.bias")[7] = 3.0
    before = answer(model)
    smaller, kept = remove_dead(model)
    assert kept["encoder.layer.0"].neurons == 63
    assert torch.allclose(answer(smaller), before, rtol=0, atol=1e-5)
    bias = "bert.encoder.layer.0.output.dense.bias"
    moved = smaller.get_parameter(bias) - model.get_parameter(bias)
    says = torch.nn.functional.gelu(torch.tensor(3.0))
    assert torch.allclose(moved, says * block.second.weight[:, 7], atol=1e-6)


def test_living_heads_and_neurons_stay_whatever_zeros_they_have() -> None:
    model = built(family("bert"))
    with torch.no_grad():
        for matrix in prunable_matrices(model):
            matrix.parameter.mul_(torch.rand_like(matrix.parameter) < 0.5)
    smaller, kept = remove_dead(model)
    assert set(kept.values()) == {Kept((0, 1, 2, 3), 64)}
    assert torch.equal(answer(smaller), answer(model))


@pytest.mark.parametrize("name", OTHERS)
def test_other_families_are_refused_and_told_which_can(name: str) -> None:
    with pytest.raises(NotReducible, match=f"{name!r} cannot be made physically smaller. Those of these can: bert, "):
        remove_dead(tiny_model(name))


@every_family
def test_a_saved_model_is_loaded_and_answers_the_same(name: str, tmp_path: Path) -> None:
    model = built(SMALLER[name])
    kill(model)
    smaller, kept = remove_dead(model)
    save_structured(smaller, kept, tmp_path, tokenizer=tiny_tokenizer())
    loaded = load_structured(tmp_path)
    assert type(loaded) is type(model)
    assert not loaded.training
    assert torch.allclose(answer(loaded), answer(model), rtol=0, atol=1e-5)
    assert all(torch.equal(a, b) for a, b in zip(loaded.parameters(), smaller.parameters(), strict=True))
    assert kept_of(tmp_path) == kept
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".safetensors"}


def test_a_loaded_model_trains_further_and_is_saved_again(tmp_path: Path) -> None:
    model = built(family("mpnet"))
    kill(model)
    save_structured(*remove_dead(model), tmp_path / "first")
    loaded = load_structured(tmp_path / "first")
    loaded.train(mode=True)
    optimizer = torch.optim.SGD(loaded.parameters(), lr=0.1)
    inputs = random_inputs(loaded.config, rows=2, tokens=9) | {"labels": torch.tensor([0, 1])}
    first = loaded(**inputs).loss
    first.backward()
    assert all(p.grad is not None for name, p in loaded.named_parameters() if "encoder" in name)
    optimizer.step()
    loaded.train(mode=False)
    save_structured(loaded, kept_of(tmp_path / "first"), tmp_path / "second")
    assert torch.equal(answer(load_structured(tmp_path / "second")), answer(loaded))
    assert not torch.equal(answer(loaded), answer(load_structured(tmp_path / "first")))


#: What is done to `architecture.json`, and what is said of it.
DAMAGES: list[tuple[dict[str, object], str]] = [
    ({"version": 2}, "version"),
    ({"blocks": {}}, "has 0 blocks, and config.json 2"),
    ({"heads": [3, 0]}, "ascending"),
    ({"heads": []}, "heads"),
    ({"heads": [0, 9]}, "leaves more of block 'encoder.layer.0' than config.json has"),
    ({"neurons": 100_000}, "leaves more of block"),
    ({"neurons": 12}, "size mismatch"),
    ({"code": "import os"}, "Extra inputs"),
]


@pytest.mark.parametrize(("damage", "said"), DAMAGES, ids=lambda value: str(value)[:30])
def test_a_damaged_directory_is_refused(damage: dict[str, object], said: str, tmp_path: Path) -> None:
    model = built(family("bert"))
    kill(model)
    save_structured(*remove_dead(model), tmp_path)
    file = tmp_path / "architecture.json"
    description = json.loads(file.read_text())
    block = description["blocks"]["encoder.layer.0"]
    (block if damage.keys() <= block.keys() else description).update(damage)
    file.write_text(json.dumps(description))
    with pytest.raises(StructuredError, match=said):
        load_structured(tmp_path)


def test_a_directory_of_another_kind_is_refused(tmp_path: Path) -> None:
    tiny_model().save_pretrained(tmp_path)
    with pytest.raises(StructuredError, match=r"architecture\.json describes no structured model"):
        load_structured(tmp_path)
    save_structured(*remove_dead(tiny_model()), tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(StructuredError, match="no structured model that can be loaded"):
        load_structured(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text()) | {"architectures": ["Anything"]}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(StructuredError, match="names no one architecture that transformers has"):
        load_structured(tmp_path)
