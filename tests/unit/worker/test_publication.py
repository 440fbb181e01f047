"""What a job's files are called by what they are."""

import pytest

from worker.publication import kind_of

KINDS = [
    ("model/model.safetensors", "model"),
    ("model.packed", "packed"),
    ("structured/architecture.json", "structured"),
    ("model.onnx", "onnx"),
    ("model.onnx.data", "onnx"),
    ("model.int8.onnx", "int8"),
    ("model.int8.onnx.data", "int8"),
    ("masks.safetensors", "masks"),
    ("report.json", "report"),
]


@pytest.mark.parametrize(("name", "kind"), KINDS)
def test_every_file_is_of_a_kind(name: str, kind: str) -> None:
    assert kind_of(name) == kind
