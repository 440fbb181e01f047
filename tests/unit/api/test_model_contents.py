"""Models that look complete and would fail in the job, or train on noise: refused at upload, with what to do."""

import json
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save
from tokenizers import Tokenizer, models, normalizers, processors

from api.models.configuration import MIN_TOKENS
from pruning_core.settings import Training
from tests.unit.api.calling import Api
from tests.unit.api.uploads import VOCABULARY, bert_files, bert_tensors

Files = dict[str, bytes]

WORDS = "bert.embeddings.word_embeddings.weight"
POSITIONS = "bert.embeddings.position_embeddings.weight"
QUERY = "bert.encoder.layer.1.attention.self.query.weight"


def with_tensors(**changes: Any) -> Files:
    tensors = {**bert_tensors(), **changes}
    return {**bert_files(), "model.safetensors": save({n: t for n, t in tensors.items() if t is not None})}


def renamed(old: str, new: str) -> Files:
    tensors = {name.replace(old, new, 1): tensor for name, tensor in bert_tensors().items()}
    return {**bert_files(), "model.safetensors": save(tensors)}


def with_value(value: float, dtype: type[np.generic]) -> Files:
    query = np.zeros((8, 8), dtype)
    query[7, 7] = value
    return with_tensors(**{QUERY: query})


def with_tokenizer(model: Any, settings: dict[str, object] | None = None, *, special: bool = True) -> Files:
    tokenizer = Tokenizer(model)
    if special:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
        )
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False)
    files = {**bert_files(), "tokenizer.json": tokenizer.to_str().encode()}
    del files["vocab.txt"]
    return files if settings is None else {**files, "tokenizer_config.json": json.dumps(settings).encode()}


def with_settings(**settings: object) -> Files:
    return {**bert_files(), "tokenizer_config.json": json.dumps(settings).encode()}


def instead_of_vocabulary(**files: bytes) -> Files:
    given = {**bert_files(), **{name.replace("_", "."): raw for name, raw in files.items()}}
    del given["vocab.txt"]
    return given


IDS = {word: number for number, word in enumerate(VOCABULARY)}
WORDPIECE = models.WordPiece(IDS, unk_token="[UNK]")
WORDLEVEL = models.WordLevel(IDS, unk_token="[UNK]")
GENERIC: dict[str, object] = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "[PAD]"}

BAD: list[tuple[str, Files, str]] = [
    # sizes in config.json that are not those of the weights: transformers would fill the difference with random numbers
    ("another intermediate_size", bert_files(intermediate_size=32), "16 × 8, and config.json says 32 × 8"),
    ("another number of positions", bert_files(max_position_embeddings=64), "position embeddings are 32 × 8"),
    ("another number of types", {**with_tensors(**{WORDS.replace("word", "token_type"): np.zeros((2, 8), np.float32)}),
                                 "config.json": bert_files(type_vocab_size=3)["config.json"]}, "token type embeddings"),
    ("no number of positions", bert_files(max_position_embeddings=None), "lacks max_position_embeddings"),
    ("hardly any positions", bert_files(max_position_embeddings=7), "room for 7 tokens"),
    # names that transformers does not look for
    ("a wrapper's prefix", renamed("bert.", "module.bert."), "looks for them under"),
    ("another family's prefix", renamed("bert.", "roberta."), "looks for them under"),
    ("a matrix too few", with_tensors(**{QUERY: None}), "layer.1.attention.self.query.weight' is missing"),
    ("no positions", with_tensors(**{POSITIONS: None}), "position embeddings are missing"),
    # numbers nobody can train
    ("NaN", with_value(np.nan, np.float32), f"'{QUERY}' holds NaN or infinity"),
    ("infinity", with_value(-np.inf, np.float32), "holds NaN or infinity"),
    ("infinity in half precision", with_value(np.inf, np.float16), "holds NaN or infinity"),
    # what transformers would stumble over
    ("heads that do not divide", bert_files(num_attention_heads=3), "not a multiple of num_attention_heads 3"),
    ("no heads", bert_files(num_attention_heads=0), "num_attention_heads must be a whole number above 0"),
    ("heads left out", bert_files(num_attention_heads=None), "lacks num_attention_heads"),
    ("a made-up activation", bert_files(hidden_act="boom"), "hidden_act: input should be 'gelu'"),
    ("dropout of everything", bert_files(hidden_dropout_prob=1.5), "hidden_dropout_prob: input should be less than 1"),
    ("dropout as text", bert_files(hidden_dropout_prob="0.1"), "hidden_dropout_prob: input should be a valid number"),
    ("a whole number for a fraction", bert_files(layer_norm_eps=1), "layer_norm_eps: should be written with a decimal"),
    ("labels without numbers", bert_files(id2label={"a": "b"}), "id2label: should have the labels' numbers"),
    ("labels as a list", bert_files(id2label=["a"]), "id2label: input should be a valid dictionary"),
    ("num_labels as text", bert_files(num_labels="2"), "num_labels: input should be a valid integer"),
    ("a made-up dtype", bert_files(dtype="float8"), "dtype: input should be 'float32'"),
    ("a fraction for a whole number", bert_files(vocab_size=8.0), "vocab_size must be a whole number"),
    ("a fraction of types", bert_files(type_vocab_size=2.0), "type_vocab_size: input should be a valid integer"),
    ("half a token", bert_files(eos_token_id=1.5), "eos_token_id: should be the number of a token"),
    ("a number for no", bert_files(is_decoder=0), "is_decoder: should be true or false"),
    ("no types of layers", bert_files(layer_types=[]), "layer_types: list should have at least 1 item"),
    ("a null for yes or no", bert_files(norm_bias=None), "norm_bias: input should be a valid boolean"),
    ("a number for settings", bert_files(rope_parameters=0), "rope_parameters: input should be a valid dictionary"),
    ("a decoder", bert_files(is_decoder=True), "is_decoder: input should be False, not true"),
    ("tuples for answers", bert_files(return_dict=False), "return_dict: input should be True"),
    ("attentions asked for", bert_files(output_attentions=True), "output_attentions: input should be False"),
    ("a kernel that is not there", bert_files(attn_implementation="flash_attention_2"), "attn_implementation"),
    ("chunks", bert_files(chunk_size_feed_forward=3), "chunk_size_feed_forward: input should be 0"),
    ("positions of another kind", bert_files(position_embedding_type="relative_key"), "position_embedding_type"),
    ("weights elsewhere", bert_files(transformers_weights="../x.safetensors"), "transformers_weights"),
    ("padding outside the vocabulary", bert_files(pad_token_id=8), "pad_token_id must be a whole number from 0 to 7"),
    # tokenizers that would be rebuilt into something else
    ("a word-level tokenizer", with_tokenizer(WORDLEVEL), "holds a WordLevel, and BertTokenizer is a WordPiece"),
    ("a cased tokenizer without its settings", with_tokenizer(WORDPIECE), 'Set "do_lower_case": false'),
    ("a class that nobody knows", with_settings(tokenizer_class="Mine"), "class \"Mine\" is not supported"),
    ("a class that is a number", with_settings(tokenizer_class=5), "must be the name of a class"),
    ("code of its own", with_settings(auto_map={"AutoTokenizer": ["x.T", None]}), "runs none from uploads"),
    ("the files of another tokenizer", with_settings(tokenizer_class="RobertaTokenizer"), "vocab.json with merges.txt"),
    ("the generic class without its file", with_settings(**GENERIC), "needs a tokenizer.json"),
    (
        "a sentencepiece model alone",
        instead_of_vocabulary(spiece_model=b"\n\x0bx"),
        "Add the tokenizer.json that AutoTokenizer",
    ),
    (
        "byte pairs for BERT",
        instead_of_vocabulary(vocab_json=b'{"a": 0}', merges_txt=b"#version: 0.2\n"),
        "BertTokenizer needs tokenizer.json, or vocab.txt",
    ),
    # tokens that the model does not know
    ("no padding token", with_settings(pad_token=None), "no padding token"),
    ("no padding, generic", with_tokenizer(WORDLEVEL, {"tokenizer_class": "TokenizersBackend"}), "no padding token"),
    ("a padding token of its own", with_settings(pad_token="[NEW]"), "The vocabulary lacks '[NEW]'"),
    ("more special tokens", with_settings(additional_special_tokens=["[A]"]), "The vocabulary lacks '[A]'"),
    ("added tokens", {**bert_files(), "added_tokens.json": b'{"[B]": 8}'}, "The vocabulary lacks '[B]'"),
    ("no unknown token", {**bert_files(), "vocab.txt": b"[PAD]\n[CLS]\n[SEP]\n[MASK]\n"}, "lacks the unknown token"),
    (
        "unknown words that cannot be encoded",
        with_tokenizer(models.WordLevel({"[PAD]": 0, "a": 1}, unk_token="[UNK]"), GENERIC),
        "cannot encode",
    ),
    ("nothing for an empty text", with_tokenizer(WORDLEVEL, GENERIC, special=False), "adds no special tokens"),
    ("settings that are a list", {**bert_files(), "tokenizer_config.json": b"[]"}, "not a JSON object"),
    ("a token that is a number", with_settings(pad_token=5), "pad_token must be a token"),
    ("inputs of another model", with_settings(model_input_names=["pixels"]), "model_input_names must be a list of"),
    ("cutting in the middle", with_settings(truncation_side="up"), "truncation_side must be right or left"),
    ("a list of sides", with_settings(padding_side=[]), "padding_side must be right or left"),
    ("no inputs", with_settings(model_input_names=None), "model_input_names must be a list of"),
    ("inputs that are no names", with_settings(model_input_names=["input_ids", {}]), "must be a list of"),
    ("a token that is true", with_settings(cls_token=True), "cls_token must be a token"),
    ("a token without letters", with_settings(mask_token=""), "mask_token must be a token"),
    ("special tokens that are a number", with_settings(additional_special_tokens=0), "cannot be 0"),
    ("padding in the middle", with_settings(padding_side="middle"), "padding_side must be right or left"),
]  # fmt: skip


@pytest.mark.parametrize("case", BAD, ids=[case[0] for case in BAD])
def test_what_would_fail_in_the_job_is_refused_at_upload(api: Api, case: tuple[str, Files, str]) -> None:
    _, files, words = case
    before = api.stored()
    answer = api.upload_model(files)
    assert answer.status_code == 422, answer.text
    said = [error["detail"] for error in answer.json()["errors"]]
    assert any(words in each for each in said), said
    assert api.stored() == before


GOOD: list[tuple[str, Files]] = [
    ("no prefix", renamed("bert.", "")),
    ("a generic tokenizer", with_tokenizer(WORDLEVEL, GENERIC)),
    ("a cased tokenizer with its settings", with_tokenizer(WORDPIECE, {"do_lower_case": False})),
    ("a tokenizer of the family", with_tokenizer(models.WordPiece(IDS, unk_token="[UNK]"), {**GENERIC})),
    ("a sentencepiece model beside tokenizer.json", {**with_tokenizer(WORDLEVEL, GENERIC), "spiece.model": b"x"}),
    ("a null for a dropout that may be left out", bert_files(classifier_dropout=None)),
    ("labels of an earlier task", bert_files(id2label={"0": "a", "1": "b"}, label2id={"a": 0, "b": 1})),
    ("a vocabulary with a line separator in it", {**bert_files(), "vocab.txt": "\r\n".join(
        [*VOCABULARY[:7], "fi\u2028lm"]).encode()}),
]  # fmt: skip


@pytest.mark.parametrize("case", GOOD, ids=[case[0] for case in GOOD])
def test_what_works_is_taken(api: Api, case: tuple[str, Files]) -> None:
    answer = api.upload_model(case[1])
    assert answer.status_code == 201, answer.text


def test_everything_that_is_wrong_is_said_at_once(api: Api) -> None:
    files = {
        **with_tensors(**{QUERY: None}),
        **with_settings(pad_token=None),
        "config.json": bert_files()["config.json"],
    }
    files["model.safetensors"] = with_tensors(**{QUERY: None})["model.safetensors"]
    said = " ".join(error["detail"] for error in api.upload_model(files).json()["errors"])
    assert "padding token" in said
    assert "is missing" in said
    fields = api.upload_model(bert_files(hidden_act="boom", hidden_dropout_prob=2)).json()["detail"]
    assert "hidden_act" in fields
    assert "hidden_dropout_prob" in fields


def test_the_shortest_input_is_that_of_the_spec() -> None:
    assert Training(max_length=MIN_TOKENS).max_length == MIN_TOKENS
    with pytest.raises(ValueError, match="max_length"):
        Training(max_length=MIN_TOKENS - 1)
