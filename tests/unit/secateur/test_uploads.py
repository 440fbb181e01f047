"""Which files of a directory are a model's, and what a try at sending reads."""

from pathlib import Path

import pytest

from secateur import LocalFileError
from secateur.uploads import Outgoing, dataset_files, model_files


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A model directory as the Hub's cache has it: links, and files that are not the model's."""
    blobs = tmp_path / "blobs"
    blobs.mkdir()
    (blobs / "abc").write_bytes(b"weights")
    model = tmp_path / "model"
    model.mkdir()
    (model / "model.safetensors").symlink_to(blobs / "abc")
    for name in ("config.json", "tokenizer.json", "vocab.txt", "merges.txt", "spiece.model"):
        (model / name).write_text("{}")
    for name in ("README.md", "pytorch_model.bin", "modeling.py", ".gitattributes", "requirements.txt", "modules.json"):
        (model / name).write_text("")
    (model / "onnx").mkdir()
    return model


def test_configuration_tokenizer_and_weights_are_taken_the_rest_is_named(directory: Path) -> None:
    taken, left = model_files(directory)
    assert {field for field, _ in taken} == {"files"}
    assert [path.name for _, path in taken] == [
        "config.json",
        "merges.txt",
        "model.safetensors",
        "spiece.model",
        "tokenizer.json",
        "vocab.txt",
    ]
    assert left == [
        ".gitattributes",
        "README.md",
        "modeling.py",
        "modules.json",
        "onnx/",
        "pytorch_model.bin",
        "requirements.txt",
    ]


def test_a_directory_of_pickled_weights_is_refused_with_the_remedy(directory: Path) -> None:
    (directory / "model.safetensors").unlink()
    with pytest.raises(LocalFileError, match=r"no weights \(\*\.safetensors\).*save_pretrained"):
        model_files(directory)


def test_what_a_job_left_is_a_folder_around_the_model(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    with pytest.raises(LocalFileError, match=r"Did you mean .*model\?"):
        model_files(tmp_path)


def test_a_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(LocalFileError, match="does not exist"):
        model_files(tmp_path / "nowhere")


def test_a_split_that_is_not_a_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(LocalFileError, match=r"The dev split's file .* is a directory"):
        dataset_files({"dev": tmp_path})
    with pytest.raises(LocalFileError, match=r"The train split's file .* does not exist"):
        dataset_files({"train": tmp_path / "train.csv"})


def test_a_second_try_reads_from_the_beginning_and_counts_back(tmp_path: Path) -> None:
    path = tmp_path / "train.csv"
    path.write_text("text,label\n")
    counted: list[int] = []
    outgoing = Outgoing([("train", path)], counted.append)
    assert outgoing.size == 11
    for _ in range(2):
        [(field, (name, file, media_type))] = outgoing.open()
        assert (field, name, media_type) == ("train", "train.csv", "text/csv")
        with file:
            assert file.read(4) == b"text"
    assert sum(counted) == 4
