"""Checks config.json: a family that we support, sizes that the weights must agree with, and nothing that runs code."""

from collections.abc import Mapping
from dataclasses import dataclass

from api.bodies import compact, parse, unstorable
from api.models.fields import why_unusable
from api.problems import MalformedRequest
from pruning_core.architectures import ARCHITECTURES, max_tokens
from store import JsonObject

#: What some families call the common sizes.
_SYNONYMS = {
    "hidden_size": ("dim",),
    "num_hidden_layers": ("n_layers",),
    "num_attention_heads": ("n_heads",),
    "intermediate_size": ("hidden_dim",),
}

#: The fewest tokens that a job may ask for in `training.max_length`.
MIN_TOKENS = 8


class BadConfiguration(ValueError):
    """config.json cannot be taken; the message says what to do."""


@dataclass(frozen=True)
class Configuration:
    """What we need to know of config.json.

    Attributes:
        model_type: one of `ARCHITECTURES`.
        vocab_size: rows of the word embeddings.
        embedding_size: their columns.
        hidden_size: columns of the attention's matrices.
        intermediate_size: rows of the feed-forward's first matrix.
        layers: numbered encoder layers that the weights must hold.
        document: the whole of it.
    """

    model_type: str
    vocab_size: int
    embedding_size: int
    hidden_size: int
    intermediate_size: int
    layers: int
    document: JsonObject


def read_configuration(raw: bytes) -> Configuration:
    """Read and check config.json.

    Raises:
        BadConfiguration: It cannot be taken.
    """
    try:
        document = parse(raw)
    except MalformedRequest as error:
        raise BadConfiguration(f"config.json: {error.detail}".replace("The body", "it")) from error
    if not isinstance(document, Mapping):
        raise BadConfiguration("config.json is not a JSON object. Upload what model.save_pretrained(folder) writes.")
    if any(unstorable(document)):
        raise BadConfiguration("config.json holds a NUL character or half a character. Remove it.")
    _require_plain(document)
    model_type = document.get("model_type")
    if not isinstance(model_type, str) or model_type not in ARCHITECTURES:
        raise BadConfiguration(
            f"config.json: model_type {model_type!r} is not supported. Supported: {', '.join(ARCHITECTURES)}."
        )
    if wrong := why_unusable(document):
        raise BadConfiguration(f"config.json: {' '.join(wrong)} Correct it, or upload what the model was saved with.")
    hidden = _size(document, "hidden_size")
    heads = _size(document, "num_attention_heads")
    if hidden % heads:
        raise BadConfiguration(
            f"config.json: hidden_size {hidden} is not a multiple of num_attention_heads {heads}. Upload the "
            "config.json that belongs to the weights."
        )
    layers = _size(document, "num_hidden_layers")
    if model_type == "albert":  # its layers share the weights of a few groups
        layers = _size(document, "num_hidden_groups", default=1)
    vocab_size = _size(document, "vocab_size")
    _require_room(document, model_type, vocab_size)
    return Configuration(
        model_type=model_type,
        vocab_size=vocab_size,
        embedding_size=_size(document, "embedding_size", default=hidden),
        hidden_size=hidden,
        intermediate_size=_size(document, "intermediate_size"),
        layers=layers,
        document=document,
    )


def _require_plain(document: JsonObject) -> None:
    if document.get("auto_map") or document.get("custom_pipelines"):
        raise BadConfiguration(
            "config.json names code of its own (auto_map, custom_pipelines), which needs trust_remote_code; this "
            "service runs no code from uploads. Use a model that transformers itself implements."
        )
    if document.get("quantization_config"):
        raise BadConfiguration(
            "config.json describes a quantised model (quantization_config). Upload the model in F32, F16 or BF16."
        )
    if document.get("is_encoder_decoder"):
        raise BadConfiguration("config.json describes an encoder-decoder. Upload an encoder model.")


def _require_room(document: JsonObject, model_type: str, vocab_size: int) -> None:
    """Check the padding token, and that there are positions for the shortest input a job may ask for."""
    pad = document.get("pad_token_id", 0)
    largest = vocab_size - 1
    if ARCHITECTURES[model_type].base_prefix == "roberta":  # its positions start after this number
        largest = min(largest, ARCHITECTURES[model_type].reserved_positions - 1)
    elif pad is None:
        pad = 0
    if not isinstance(pad, int) or isinstance(pad, bool) or not 0 <= pad <= largest:
        raise BadConfiguration(
            f"config.json: pad_token_id must be a whole number from 0 to {largest}, not {compact(pad)}. Give the id "
            "of the tokenizer's padding token."
        )
    _size(document, "max_position_embeddings")
    most = max_tokens(document)
    if most is not None and most < MIN_TOKENS:
        raise BadConfiguration(
            f"config.json: max_position_embeddings leaves room for {most} tokens, and {MIN_TOKENS} are the least "
            "that a job may ask for. Upload a model with more positions."
        )


def _size(document: JsonObject, name: str, default: int | None = None) -> int:
    for key in (name, *_SYNONYMS.get(name, ())):
        value = document.get(key)
        if value is None:
            continue
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise BadConfiguration(f"config.json: {key} must be a whole number above 0, not {compact(value)}.")
        return value
    if default is None:
        raise BadConfiguration(f"config.json lacks {name}. Upload what model.save_pretrained(folder) writes.")
    return default
