"""Loading a model to train: what is loaded no longer depends on the file."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from pruning_core.columns import TextClassification
from pruning_core.loading import ModelError, load_model, load_tokenizer
from pruning_core.spec import PruningSpec
from pruning_core.tasks.registry import task_of
from tests.tiny import save_tiny_model


@pytest.mark.parametrize(
    ("file", "field", "value"),
    [("config.json", "vocab_size", 25.0), ("tokenizer_config.json", "truncation_side", "up")],
)
def test_files_that_transformers_stumbles_over_are_an_error_that_trying_again_would_repeat(
    tmp_path: Path, file: str, field: str, value: object
) -> None:
    directory = save_tiny_model(tmp_path)
    content = json.loads((directory / file).read_text())
    (directory / file).write_text(json.dumps({**content, field: value}))
    with pytest.raises(ModelError, match="transformers cannot read the model"):
        load_tokenizer(directory)


def test_what_is_loaded_is_not_the_file_mapped_into_memory(tmp_path: Path) -> None:
    directory = save_tiny_model(tmp_path)
    task = task_of(TextClassification(text="text", label="label"), ["negative", "positive"])
    spec = PruningSpec(method="movement", target_sparsity=0.9)
    model = load_model(directory, load_tokenizer(directory), task, spec, torch.device("cpu"))
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    file = directory / "model.safetensors"
    with file.open("r+b") as stream:
        stream.write(bytes(file.stat().st_size))
    assert all(torch.equal(parameter, before[name]) for name, parameter in model.named_parameters())


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_model_with_values_that_are_no_numbers_is_refused_and_the_tensor_named(tmp_path: Path, value: float) -> None:
    directory = save_tiny_model(tmp_path)
    tensors = load_file(directory / "model.safetensors")
    name = next(name for name in tensors if name.endswith("word_embeddings.weight"))
    tensors[name][-1, 0] = value  # of a token that no row has
    save_file(tensors, directory / "model.safetensors", {"format": "pt"})
    task = task_of(TextClassification(text="text", label="label"), ["negative", "positive"])
    spec = PruningSpec(method="movement", target_sparsity=0.9)
    with pytest.raises(
        ModelError, match=rf"model holds values that are not finite numbers .* in {name}\. Save it anew"
    ):
        load_model(directory, load_tokenizer(directory), task, spec, torch.device("cpu"))
