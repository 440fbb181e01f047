"""Checkpoints of the families with names and sizes of their own, each with one thing wrong: refused, saying which."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from api.problems import Invalid
from tests.tiny import save_tiny_model
from tests.uploading import inspected

Tensors = dict[str, Tensor]
Wrong = Callable[[Path], object]


def configured(**changes: object) -> Wrong:
    """Fields of config.json changed; None leaves one out."""

    def change(folder: Path) -> None:
        file = folder / "config.json"
        document = {**json.loads(file.read_text()), **changes}
        file.write_text(json.dumps(document))

    return change


def without(part: str) -> Wrong:
    """The tensors whose names have this in them left out."""

    def change(folder: Path) -> None:
        tensors = load_file(folder / "model.safetensors")
        kept = {name: tensor for name, tensor in tensors.items() if part not in name}
        assert len(kept) < len(tensors)
        save_file(kept, folder / "model.safetensors", {"format": "pt"})

    return change


def transposed(part: str) -> Wrong:
    """Matrices as a linear layer stores them, where GPT-2 stores them the other way."""

    def change(folder: Path) -> None:
        tensors = load_file(folder / "model.safetensors")
        turned = {name: tensor.T.contiguous() if part in name else tensor for name, tensor in tensors.items()}
        save_file(turned, folder / "model.safetensors", {"format": "pt"})

    return change


def tokenized(**special: str | None) -> Wrong:
    """Special tokens changed; None takes one away."""

    def change(folder: Path) -> None:
        tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
        for role, token in special.items():
            setattr(tokenizer, role, token)
        tokenizer.save_pretrained(folder)

    return change


WRONG: list[tuple[str, str, Wrong, str]] = [
    ("gpt2", "another width", configured(n_inner=32), "32 × 64, and config.json says 32 × 32"),
    ("gpt2", "the usual width left out", configured(n_inner=None), "config.json says 32 × 128"),
    ("gpt2", "linear layers", transposed("c_attn.weight"), "96 × 32, and config.json says 32 × 96"),
    ("gpt2", "another number of positions", configured(n_positions=32), "position embeddings are 64 × 32"),
    ("gpt2", "no positions", without("wpe"), "position embeddings are missing"),
    ("gpt2", "no words", without("wte"), "word embeddings are missing"),
    ("gpt2", "no number of positions", configured(n_positions=None), "lacks n_positions"),
    ("gpt2", "heads that do not divide", configured(n_head=5), "not a multiple of num_attention_heads 5"),
    ("gpt2", "a made-up activation", configured(activation_function="boom"), "activation_function: input should be"),
    ("gpt2", "nothing to pad with", tokenized(pad_token=None, unk_token=None), "no padding token"),
    ("modernbert", "another width", configured(intermediate_size=32), "128 × 32, and config.json says 64 × 32"),
    ("modernbert", "a matrix too few", without("layers.1.attn.Wqkv"), "layers.1.attn.Wqkv.weight' is missing"),
    ("modernbert", "kinds of other layers", configured(layer_types=["full_attention"]), "layer_types names 1 layers"),
    ("t5", "heads of another size", configured(d_kv=8), "24 × 32, and config.json says 32 × 32"),
    ("t5", "more layers in the decoder", configured(num_decoder_layers=3), "decoder.block.2.layer.0.SelfAttention.q"),
    ("t5", "half a decoder", without("decoder.block.1.layer.1"), "EncDecAttention.q.weight' is missing"),
    ("t5", "a gate that is not there", configured(feed_forward_proj="gated-gelu", is_gated_act=True), "wi_0"),
    ("t5", "a gate or none", configured(is_gated_act=True), "is_gated_act: should say the same as feed_forward_proj"),
    ("t5", "a made-up feed-forward", configured(feed_forward_proj="gated-boom"), "an activation such as relu"),
    ("t5", "no table of distances", without("encoder.block.0.layer.0.SelfAttention.rel"), "bias.weight' is missing"),
    ("t5", "no words", without("shared"), "word embeddings are missing"),
    ("t5", "several ends", configured(eos_token_id=[1, 2]), "eos_token_id must be a whole number"),
    ("t5", "another end than the tokenizer's", configured(eos_token_id=4), "does not end every text"),
    ("t5", "no such start", configured(decoder_start_token_id=99), "decoder_start_token_id must be"),
    ("t5", "nothing to pad with", tokenized(pad_token=None), "no padding token"),
    ("t5", "null for a dropout", configured(classifier_dropout=None), "classifier_dropout must be a number"),
    ("bert", "an encoder-decoder", configured(is_encoder_decoder=True), "describes an encoder-decoder"),
]  # fmt: skip


@pytest.mark.parametrize(("model_type", "wrong", "words"), [(m, w, t) for m, _, w, t in WRONG], ids=[
    f"{model_type}: {name}" for model_type, name, _, _ in WRONG
])  # fmt: skip
def test_what_transformers_would_fill_with_noise_is_refused(
    model_type: str, wrong: Wrong, words: str, tmp_path: Path
) -> None:
    folder = save_tiny_model(tmp_path, model_type)
    inspected(folder)
    wrong(folder)
    with pytest.raises(Invalid) as refused:
        inspected(folder)
    said = [error.detail for error in refused.value.errors]
    assert any(words in each for each in said), said


def test_t5_is_taken_where_its_words_are_named_by_the_encoder(tmp_path: Path) -> None:
    file = save_tiny_model(tmp_path, "t5") / "model.safetensors"
    tensors = load_file(file)
    tensors["transformer.encoder.embed_tokens.weight"] = tensors.pop("transformer.shared.weight")
    save_file(tensors, file, {"format": "pt"})
    assert inspected(tmp_path).configuration.gated is False
