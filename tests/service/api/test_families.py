"""Every supported family passes the inspection of uploads as transformers itself saves it."""

from pathlib import Path
from typing import get_args

import pytest
from transformers.activations import ACT2FN

from api.models.fields import Activation
from api.models.inspection import inspect
from api.models.layouts import LAYOUTS
from api.multipart import FilePart, Form
from pruning_core.architectures import ARCHITECTURES, prunable_matrices
from tests.tiny import save_tiny_model, tiny_model


@pytest.mark.parametrize("model_type", ARCHITECTURES)
def test_a_family_is_taken_as_transformers_saves_it(model_type: str, tmp_path: Path) -> None:
    folder = save_tiny_model(tmp_path, model_type)
    streams = {file.name: file.open("rb") for file in folder.iterdir()}
    try:
        parts = [FilePart("files", name, (folder / name).stat().st_size, stream) for name, stream in streams.items()]
        found = inspect(Form("tiny", tuple(parts)))
    finally:
        for stream in streams.values():
            stream.close()
    assert found.configuration.model_type == model_type
    assert found.parameters > 0


def test_every_activation_that_is_taken_is_one_that_transformers_has() -> None:
    assert set(get_args(Activation)) <= set(ACT2FN)


def test_every_family_says_where_its_matrices_are() -> None:
    assert set(LAYOUTS) == set(ARCHITECTURES)


@pytest.mark.parametrize("model_type", ARCHITECTURES)
def test_the_matrices_of_a_family_are_those_that_are_pruned(model_type: str) -> None:
    shapes = {name: tuple(tensor.shape) for name, tensor in tiny_model(model_type).state_dict().items()}
    layout = LAYOUTS[model_type]
    names = (*layout.square, layout.widen, layout.narrow)
    layers = 1 if model_type == "albert" else 2
    expected = {f"{layout.layer.format(number)}.{name}" for number in range(layers) for name in names}
    found = set(prunable_matrices(model_type, shapes))
    assert expected <= found
    assert all("pos_" in name for name in found - expected), "DeBERTa may have projections of positions too"
