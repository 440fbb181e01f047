"""Every supported family passes the inspection of uploads as transformers itself saves it."""

from pathlib import Path

import pytest

from api.models.inspection import inspect
from api.multipart import FilePart, Form
from pruning_core.architectures import ARCHITECTURES
from tests.tiny import save_tiny_model


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
