"""Loading a model to train: what is loaded no longer depends on the file."""

from pathlib import Path

import torch

from pruning_core.columns import TextClassification
from pruning_core.loading import load_model, load_tokenizer
from pruning_core.spec import PruningSpec
from pruning_core.tasks.registry import task_of
from tests.tiny import save_tiny_model


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
