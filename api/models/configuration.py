"""Checks config.json: a family that we support, sizes that the weights must agree with, and nothing that runs code."""

from collections.abc import Mapping
from dataclasses import dataclass

from api.bodies import compact, parse, unstorable
from api.models.fields import why_unusable
from api.problems import MalformedRequest
from pruning_core.architectures import ARCHITECTURES, SERVED, max_tokens
from store import JsonObject

#: What some families call the common sizes.
_SYNONYMS = {
    "hidden_size": ("dim", "n_embd", "d_model"),
    "num_hidden_layers": ("n_layers", "n_layer", "num_layers"),
    "num_attention_heads": ("n_heads", "n_head", "num_heads"),
    "intermediate_size": ("hidden_dim", "n_inner", "d_ff"),
}

#: The fewest tokens that a job may ask for in `training.max_length`.
MIN_TOKENS = 8


class BadConfiguration(ValueError):
    """config.json cannot be taken; the message says what to do."""


class UnsupportedFamily(BadConfiguration):
    """No file can make up for it: the service does not take models of this family."""


@dataclass(frozen=True)
class Configuration:
    """What we need to know of config.json.

    Attributes:
        model_type: one of `ARCHITECTURES`.
        vocab_size: rows of the word embeddings.
        embedding_size: their columns.
        hidden_size: numbers by which a token is represented between the layers.
        heads: of each attention.
        attention_size: numbers that all heads together give; T5's need not be `hidden_size`.
        intermediate_size: width of the feed-forward.
        gated: T5's feed-forward has a second matrix for its gate.
        layers: numbered encoder layers that the weights must hold.
        decoder_layers: those of T5's decoder.
        position_buckets: distances that T5 tells apart.
        document: the whole of it.
    """

    model_type: str
    vocab_size: int
    embedding_size: int
    hidden_size: int
    heads: int
    attention_size: int
    intermediate_size: int
    gated: bool
    layers: int
    decoder_layers: int
    position_buckets: int
    document: JsonObject


def read_configuration(raw: bytes) -> Configuration:
    """Read and check config.json.

    Raises:
        BadConfiguration: It cannot be taken.
    """
    try:
        document = parse(raw, as_written=True)
    except MalformedRequest as error:
        raise BadConfiguration(f"config.json: {error.detail}".replace("The body", "it")) from error
    if not isinstance(document, Mapping):
        raise BadConfiguration("config.json is not a JSON object. Upload what model.save_pretrained(folder) writes.")
    if any(unstorable(document)):
        raise BadConfiguration("config.json holds a NUL character or half a character. Remove it.")
    model_type = _family(document)
    _require_plain(document, model_type)
    if wrong := why_unusable(document):
        raise BadConfiguration(f"config.json: {' '.join(wrong)} Correct it, or upload what the model was saved with.")
    hidden = _size(document, "hidden_size")
    heads = _size(document, "num_attention_heads")
    if model_type != "t5" and hidden % heads:
        raise BadConfiguration(
            f"config.json: hidden_size {hidden} is not a multiple of num_attention_heads {heads}. Upload the "
            "config.json that belongs to the weights."
        )
    layers = _size(document, "num_hidden_layers")
    _require_consistent(document, model_type, layers)
    if model_type == "albert":  # its layers share the weights of a few groups
        layers = _size(document, "num_hidden_groups", default=1)
    vocab_size = _size(document, "vocab_size")
    _require_room(document, model_type, vocab_size)
    return Configuration(
        model_type=model_type,
        vocab_size=vocab_size,
        embedding_size=_size(document, "embedding_size", default=hidden),
        hidden_size=hidden,
        heads=heads,
        attention_size=heads * _size(document, "d_kv", default=64) if model_type == "t5" else hidden,
        intermediate_size=_size(document, "intermediate_size", default=4 * hidden if model_type == "gpt2" else None),
        gated=model_type == "t5" and str(document.get("feed_forward_proj", "relu")).startswith("gated-"),
        layers=layers,
        decoder_layers=_size(document, "num_decoder_layers", default=layers),
        position_buckets=_size(document, "relative_attention_num_buckets", default=32),
        document=document,
    )


def _family(document: JsonObject) -> str:
    model_type = document.get("model_type")
    if isinstance(model_type, str) and model_type in SERVED:
        return model_type
    if isinstance(model_type, str) and model_type in ARCHITECTURES:
        raise UnsupportedFamily(
            f"config.json: model_type {model_type!r} reads no text, and every task of this service is one on texts. "
            "The library prunes such models: see docs/models.md."
        )
    raise UnsupportedFamily(f"config.json: model_type {model_type!r} is not supported. Supported: {', '.join(SERVED)}.")


def _require_plain(document: JsonObject, model_type: str) -> None:
    if document.get("auto_map") or document.get("custom_pipelines"):
        raise BadConfiguration(
            "config.json names code of its own (auto_map, custom_pipelines), which needs trust_remote_code; this "
            "service runs no code from uploads. Use a model that transformers itself implements."
        )
    if document.get("quantization_config"):
        raise BadConfiguration(
            "config.json describes a quantised model (quantization_config). Upload the model in F32, F16 or BF16."
        )
    if document.get("is_encoder_decoder") and not ARCHITECTURES[model_type].decoder_tasks:
        raise BadConfiguration("config.json describes an encoder-decoder. Upload an encoder model.")


def _require_consistent(document: JsonObject, model_type: str, layers: int) -> None:
    """Check what single families need."""
    if model_type in {"modernbert", "t5"} and document.get("classifier_dropout", 0.0) is None:
        raise BadConfiguration("config.json: classifier_dropout must be a number, not null. Write 0.0 for none.")
    kinds = document.get("layer_types") if model_type == "modernbert" else None
    if isinstance(kinds, list) and len(kinds) != layers:
        raise BadConfiguration(
            f"config.json: layer_types names {len(kinds)} layers, and num_hidden_layers says {layers}. Upload the "
            "config.json that belongs to the weights."
        )


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
    if model_type == "t5":
        _require_marks(document, vocab_size)
    limit = ARCHITECTURES[model_type].position_limit
    if limit is None:
        return
    _size(document, limit)
    most = max_tokens(document)
    if most is not None and most < MIN_TOKENS:
        raise BadConfiguration(
            f"config.json: {limit} leaves room for {most} tokens, and {MIN_TOKENS} are the least "
            "that a job may ask for. Upload a model with more positions."
        )


def _require_marks(document: JsonObject, vocab_size: int) -> None:
    """T5's classifier looks for the end of sequence, and its decoder starts with a token that must have one."""
    for name, default in (("eos_token_id", 1), ("decoder_start_token_id", 0)):
        value = document.get(name, default)
        optional = name == "decoder_start_token_id" and value is None  # then the job takes the padding token
        if not optional and not (type(value) is int and 0 <= value < vocab_size):
            raise BadConfiguration(
                f"config.json: {name} must be a whole number from 0 to {vocab_size - 1}, not {compact(value)}. Give "
                "the id that the tokenizer has for it."
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
