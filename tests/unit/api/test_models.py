"""Models over HTTP: only complete, consistent directories without anything that runs are taken."""

import json
import struct
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save
from tokenizers import Tokenizer, models, processors

from store import DatabaseBlobStore, get_model
from tests.unit.api.calling import Api, detail
from tests.unit.api.uploads import VOCABULARY, bert_files, bert_tensors

Files = dict[str, bytes]


def tokenizer_json(tokens: int) -> bytes:
    """A tokenizer with so many tokens, written by the real library."""
    tokenizer = Tokenizer(models.WordLevel({f"w{i}": i for i in range(tokens)}, unk_token="w0"))
    tokenizer.post_processor = processors.TemplateProcessing(single="w1 $A w2", special_tokens=[("w1", 1), ("w2", 2)])
    return str(tokenizer.to_str()).encode()


def generic_tokenizer(tokens: int) -> Files:
    """That tokenizer, to be taken as it is."""
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "w0"}
    return {"tokenizer.json": tokenizer_json(tokens), "tokenizer_config.json": json.dumps(settings).encode()}


def test_a_model_is_taken_described_and_stored_file_by_file(api: Api) -> None:
    files = bert_files()
    answer = api.upload_model(files)
    assert answer.status_code == 201, answer.text
    view = answer.json()
    assert view["model_type"] == "bert"
    assert view["prunable_parameters"] == 2 * (4 * 64 + 2 * 128)
    assert view["prunable_matrices"]["encoder.layer.1.intermediate.dense"] == [16, 8]
    assert len(view["prunable_matrices"]) == 12
    assert view["parameters"] == sum(tensor.size for tensor in bert_tensors().values())
    assert view["max_length"] == 32
    assert view["size"] == sum(map(len, files.values()))
    assert api.get(view["url"]).json() == view
    assert [each["id"] for each in api.get("/v1/models").json()["data"]] == [view["id"]]
    assert api.as_other_team().get(view["url"]).status_code == 404
    with api.database.read() as session:
        stored = {file.path: file.blob_id for file in get_model(session, api.team, view["id"]).files}
    blobs = DatabaseBlobStore(api.database)
    assert {path: b"".join(blobs.read(blob)) for path, blob in stored.items()} == files


def test_sharded_weights_and_other_tokenizers_are_taken(api: Api) -> None:
    tensors = bert_tensors()
    names = sorted(tensors)
    shards = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors": names[1::2]}
    files = bert_files()
    del files["model.safetensors"], files["vocab.txt"]
    files |= {shard: save({name: tensors[name] for name in members}) for shard, members in shards.items()}
    index = {"weight_map": {name: shard for shard, members in shards.items() for name in members}}
    files["model.safetensors.index.json"] = json.dumps(index).encode()
    files |= generic_tokenizer(len(VOCABULARY))
    answer = api.upload_model(files)
    assert answer.status_code == 201, answer.text
    assert answer.json()["parameters"] == sum(tensor.size for tensor in tensors.values())
    del files["model-00002-of-00002.safetensors"]
    assert "files that are not there" in detail(api.upload_model(files), "/files")


def test_half_precision_weights_are_taken(api: Api) -> None:
    files = bert_files()
    halves = {name: t.astype(np.float16) if t.dtype == np.float32 else t for name, t in bert_tensors().items()}
    assert api.upload_model({**files, "model.safetensors": save(halves)}).status_code == 201


def without(*names: str) -> Files:
    return {name: raw for name, raw in bert_files().items() if name not in names}


def with_tensors(**changes: Any) -> Files:
    tensors = {**bert_tensors(), **changes}
    return {**bert_files(), "model.safetensors": save({n: t for n, t in tensors.items() if t is not None})}


EMBEDDINGS = "bert.embeddings.word_embeddings.weight"
QUERY = "bert.encoder.layer.0.attention.self.query.weight"

BAD: list[tuple[str, Files, str]] = [
    ("no config", without("config.json"), "config.json is missing"),
    ("no tokenizer", without("vocab.txt"), "tokenizer is missing"),
    ("no weights", without("model.safetensors"), "safe_serialization=True"),
    ("a pickle", {**without("model.safetensors"), "pytorch_model.bin": b"x"}, "can run code"),
    ("a pickle beside safetensors", {**bert_files(), "optimizer.pt": b"x"}, "can run code"),
    ("an archive", {**bert_files(), "model.zip": b"PK"}, "is an archive"),
    ("code", {**bert_files(), "modeling_x.py": b"x"}, "is code"),
    ("a picture", {**bert_files(), "logo.png": b"x"}, "not a file that a model needs"),
    ("an empty file", {**bert_files(), "tokenizer_config.json": b""}, "is empty"),
    ("a config that is no JSON", {**bert_files(), "config.json": b"{"}, "config.json: it is not JSON"),
    ("a config that is a list", {**bert_files(), "config.json": b"[]"}, "not a JSON object"),
    ("an unknown family", bert_files(model_type="llama"), "Supported: bert, distilbert"),
    ("code of its own", bert_files(auto_map={"AutoModel": "x.Y"}), "runs no code"),
    ("a quantised model", bert_files(quantization_config={"bits": 4}), "quantised"),
    ("no vocab_size", bert_files(vocab_size=None), "lacks vocab_size"),
    ("a vocab_size that is text", bert_files(vocab_size="8"), "whole number"),
    ("another vocab_size", bert_files(vocab_size=9), "8 × 8, and config.json says 9 × 8"),
    ("more layers than weights", bert_files(num_hidden_layers=3), "hold 2 encoder layers, and config.json says 3"),
    ("fewer layers than weights", bert_files(num_hidden_layers=1), "config.json says 1"),
    (
        "nothing to prune",
        {**bert_files(), "model.safetensors": save({EMBEDDINGS: np.zeros((8, 8), np.float32)})},
        "prune",
    ),
    ("no embeddings", with_tensors(**{EMBEDDINGS: None}), "word embeddings are missing"),
    ("64-bit weights", with_tensors(**{QUERY: np.zeros((8, 8), np.float64)}), "is F64"),
    ("integer weights", with_tensors(**{QUERY: np.zeros((8, 8), np.int8)}), "is I8"),
    ("a tokenizer that is no JSON", {**bert_files(), "tokenizer.json": b"{}"}, "tokenizers library"),
    ("a tokenizer that knows too much", {**bert_files(), **generic_tokenizer(9)}, "token id 8"),
    ("a vocabulary that is too long", {**bert_files(), "vocab.txt": "\n".join([*VOCABULARY, "x"]).encode()}, "id 8"),
    (
        "weights under another name",
        {**without("model.safetensors"), "a.safetensors": save(bert_tensors())},
        "add model",
    ),
    ("weights cut off", {**bert_files(), "model.safetensors": bert_files()["model.safetensors"][:-1]}, "cut off"),
    ("no safetensors", {**bert_files(), "model.safetensors": b"\x80\x04pickle"}, "not a safetensors file"),
    ("a header beyond measure", {**bert_files(), "model.safetensors": struct.pack("<Q", 2**40)}, "is the limit"),
]


@pytest.mark.parametrize("case", BAD, ids=[case[0] for case in BAD])
def test_a_bad_model_is_refused_with_its_reason_and_nothing_is_stored(api: Api, case: tuple[str, Files, str]) -> None:
    _, files, words = case
    before = api.stored()
    answer = api.upload_model(files)
    assert answer.status_code == 422, answer.text
    said = [error["detail"] for error in answer.json()["errors"]]
    assert any(words in each for each in said), said
    assert api.stored() == before


PATHS = [
    "../config.json",
    "a/config.json",
    "/etc/passwd",
    "C:\\m\\config.json",
    "C:\\\\m\\\\config.json",
    "\\\\\\\\host\\\\config.json",
    "..",
    "a\x01b.txt",
]


@pytest.mark.parametrize("filename", PATHS)
def test_a_path_in_a_file_name_is_refused_even_where_parsers_would_mend_it(api: Api, filename: str) -> None:
    before = api.stored()
    parts = [b'--b\r\nContent-Disposition: form-data; name="name"\r\n\r\nn\r\n']
    names = {**{name: name for name in bert_files()}, "config.json": filename}
    for name, raw in bert_files().items():
        head = f'--b\r\nContent-Disposition: form-data; name="files"; filename="{names[name]}"\r\n\r\n'
        parts.append(head.encode() + raw + b"\r\n")
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    answer = api.call("POST", "/v1/models", content=b"".join(parts) + b"--b--\r\n", headers=headers)
    assert answer.status_code in {400, 422}, answer.text
    if answer.status_code == 422:
        said = [error["detail"] for error in answer.json()["errors"]]
        assert any("is a path" in each or "printable" in each for each in said), said
    assert api.stored() == before


def test_a_file_may_not_come_twice_nor_under_another_field(api: Api) -> None:
    files = [("files", (name, raw)) for name, raw in bert_files().items()]
    twice = api.call("POST", "/v1/models", data={"name": "n"}, files=[*files, files[0]])
    assert "2 times" in detail(twice, "/files")
    other = api.call("POST", "/v1/models", data={"name": "n"}, files=[*files, ("weights", ("a.safetensors", b"x"))])
    assert "as `files`" in detail(other, "/weights")


def test_a_model_over_the_limit_is_a_413(api: Api) -> None:
    answer = api.upload_model({**bert_files(), "tokenizer.json": b" " * 4_000_000})
    assert answer.status_code == 413
