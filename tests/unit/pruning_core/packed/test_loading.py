"""A packed model is a model again, in every family, with what is shared, sharded or tied."""

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForMaskedLM, AutoTokenizer

from pruning_core import PackedError, load_packed, save_packed, unpack
from pruning_core.architectures import ARCHITECTURES
from tests.families import answer, built
from tests.tiny import tiny_config, tiny_model, tiny_tokenizer
from tests.unit.pruning_core.packed.models import contents, frames_of
from tests.unit.pruning_core.test_export import pruned


@pytest.mark.parametrize("model_type", ARCHITECTURES)
def test_the_packed_model_answers_as_the_pruned_one(model_type: str, tmp_path: Path) -> None:
    model = built(lambda: tiny_model(model_type, num_labels=3))
    pruned(model)
    size = save_packed(model, tmp_path / "model.packed", tokenizer=tiny_tokenizer())
    assert size == (tmp_path / "model.packed").stat().st_size
    loaded = load_packed(tmp_path / "model.packed")
    assert type(loaded) is type(model)
    assert not loaded.training
    assert torch.equal(answer(loaded), answer(model.train(mode=False)))


def test_int8_answers_nearly_the_same(tmp_path: Path) -> None:
    model = tiny_model()
    pruned(model)
    save_packed(model, tmp_path / "model.packed", precision="int8")
    loaded = load_packed(tmp_path / "model.packed")
    assert 0 < float((answer(loaded) - answer(model.train(mode=False))).abs().max()) < 0.02


def test_tied_weights_are_packed_once_and_stay_tied(tmp_path: Path) -> None:
    model = AutoModelForMaskedLM.from_config(tiny_config())
    save_packed(model, tmp_path / "model.packed")
    loaded = load_packed(tmp_path / "model.packed")
    assert loaded.get_output_embeddings().weight is loaded.get_input_embeddings().weight
    assert torch.equal(answer(loaded), answer(model.train(mode=False)))


def test_a_model_in_several_files_is_packed_whole(tmp_path: Path) -> None:
    model = tiny_model()
    model.save_pretrained(tmp_path / "model", max_shard_size="20KB")
    assert len(list((tmp_path / "model").glob("*.safetensors"))) > 1
    save_packed(tmp_path / "model", tmp_path / "model.packed")
    assert torch.equal(answer(load_packed(tmp_path / "model.packed")), answer(model.train(mode=False)))


def test_the_tokenizer_is_inside(tmp_path: Path) -> None:
    save_packed(tiny_model(), tmp_path / "model.packed", tokenizer=tiny_tokenizer())
    unpack(tmp_path / "model.packed", tmp_path / "model")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    assert tokenizer("the film was great").input_ids == tiny_tokenizer()("the film was great").input_ids


def test_a_directory_is_packed_as_it_is(tmp_path: Path) -> None:
    tiny_model().save_pretrained(tmp_path / "model")
    save_packed(tmp_path / "model", tmp_path / "model.packed")
    assert len(frames_of(tmp_path / "model.packed")) > 10
    unpack(tmp_path / "model.packed", tmp_path / "again")
    assert contents(tmp_path / "again") == contents(tmp_path / "model")


@pytest.mark.parametrize(
    "architectures", [["pipeline"], ["os"], ["NoSuchModel"], [], None, ["BertModel", "BertModel"], [3]]
)
def test_an_architecture_that_transformers_does_not_have_is_refused(architectures: object, tmp_path: Path) -> None:
    tiny_model().save_pretrained(tmp_path / "model")
    config = tmp_path / "model" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"architectures": architectures}))
    save_packed(tmp_path / "model", tmp_path / "model.packed")
    with pytest.raises(PackedError, match=r"Its config\.json names"):
        load_packed(tmp_path / "model.packed")
