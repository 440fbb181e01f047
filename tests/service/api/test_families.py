"""Every supported family passes the inspection of uploads as transformers itself saves it."""

from pathlib import Path
from typing import get_args

import pytest
from transformers import (
    GPT2LMHeadModel,
    GPT2Model,
    GPT2Tokenizer,
    PreTrainedModel,
    T5EncoderModel,
    T5ForConditionalGeneration,
    T5ForTokenClassification,
    T5Tokenizer,
)
from transformers.activations import ACT2FN

from api.models.configuration import read_configuration
from api.models.fields import Activation
from api.models.layouts import LAYOUTS, layer_matrices
from api.problems import Invalid
from pruning_core.architectures import SERVED, prunable_matrices
from tests.families import as_class
from tests.tiny import save_tiny_model, tiny_config, tiny_model, tiny_tokenizer
from tests.uploading import inspected


@pytest.mark.parametrize("model_type", SERVED)
def test_a_family_is_taken_as_transformers_saves_it(model_type: str, tmp_path: Path) -> None:
    found = inspected(save_tiny_model(tmp_path, model_type))
    assert found.configuration.model_type == model_type
    assert found.parameters > 0


def test_every_activation_that_is_taken_is_one_that_transformers_has() -> None:
    assert set(get_args(Activation)) <= set(ACT2FN)


def test_every_family_says_where_its_matrices_are() -> None:
    assert set(LAYOUTS) == set(SERVED)


@pytest.mark.parametrize("model_type", SERVED)
def test_the_matrices_of_a_family_are_those_that_are_pruned(model_type: str) -> None:
    model = tiny_model(model_type)
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    configuration = read_configuration(model.config.to_json_string().encode())
    expected = dict(layer_matrices(configuration))
    stored = {name.removeprefix(model.base_model_prefix + "."): shape for name, shape in shapes.items()}
    assert expected.items() <= stored.items()
    named = {name.removesuffix(".weight") for name in expected if not name.endswith("relative_attention_bias.weight")}
    found = set(prunable_matrices(model_type, shapes))
    assert named <= found
    assert all("pos_" in name for name in found - named), "DeBERTa may have projections of positions too"


def test_the_decoder_of_t5_is_named_too() -> None:
    model = tiny_model("t5")
    configuration = read_configuration(model.config.to_json_string().encode())
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    expected = {f"transformer.{name}": shape for name, shape in layer_matrices(configuration, decoder=True)}
    assert expected.items() <= shapes.items()
    others = {name for name in shapes.keys() - expected.keys() if ".block." in name and "layer_norm" not in name}
    assert not others


@pytest.mark.parametrize("cls", [T5EncoderModel, T5ForConditionalGeneration, T5ForTokenClassification])
def test_every_kind_of_t5_is_taken(cls: type[PreTrainedModel], tmp_path: Path) -> None:
    tiny_tokenizer().save_pretrained(tmp_path)
    as_class(cls)().save_pretrained(tmp_path)
    assert inspected(tmp_path).configuration.model_type == "t5"


@pytest.mark.parametrize("cls", [GPT2Model, GPT2LMHeadModel])
def test_gpt2_is_taken_without_a_padding_token(cls: type[PreTrainedModel], tmp_path: Path) -> None:
    vocabulary = {"<|endoftext|>": 0, **{letter: number + 1 for number, letter in enumerate("abc")}}
    GPT2Tokenizer(vocab=vocabulary, merges=[]).save_pretrained(tmp_path)
    cls(tiny_config("gpt2", pad_token_id=None)).save_pretrained(tmp_path)
    assert inspected(tmp_path).configuration.model_type == "gpt2"


def test_t5_s_own_tokenizer_is_taken(tmp_path: Path) -> None:
    pieces = ["<pad>", "</s>", "<unk>", "▁", "a", "b"]
    T5Tokenizer(vocab=[(piece, -1.0) for piece in pieces], extra_ids=0).save_pretrained(tmp_path)
    as_class(T5ForConditionalGeneration, eos_token_id=1)().save_pretrained(tmp_path)
    assert inspected(tmp_path).configuration.model_type == "t5"


def test_a_model_that_reads_no_text_is_refused(tmp_path: Path) -> None:
    tiny_model("vit").save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text("{}")
    with pytest.raises(Invalid) as refused:
        inspected(tmp_path)
    assert "reads no text" in refused.value.errors[0].detail
