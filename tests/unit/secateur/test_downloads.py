"""An artifact's name cannot lead out of the directory."""

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secateur import BrokenDownload
from secateur.downloads import is_present, target_path
from secateur.resources import Artifact


@pytest.mark.parametrize("name", ["report.json", "model/model.safetensors", "model/a/b c.txt", "…/ü.json"])
def test_plain_names_go_below_the_directory(tmp_path: Path, name: str) -> None:
    assert target_path(tmp_path, name) == tmp_path.joinpath(*name.split("/"))


@pytest.mark.parametrize(
    "name",
    [
        "../x",
        "a/../../x",
        "/etc/passwd",
        "a//b",
        "./a",
        "a/.",
        "",
        "a/",
        "..",
        "a\\b",
        "C:x",
        "a\0b",
        "a\nb",
        "~\x1b[2J",
    ],
)
def test_a_name_that_leads_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(BrokenDownload, match="not a plain path"):
        target_path(tmp_path, name)


@given(name=st.text(alphabet="ab./\\:\0~", max_size=12))
def test_whatever_the_name_says_the_file_lies_below(name: str) -> None:
    directory = Path("/nowhere/download")
    try:
        path = target_path(directory, name)
    except BrokenDownload:
        return
    assert path.is_relative_to(directory)
    assert path != directory
    assert ".." not in path.parts


def test_a_link_that_leads_out_is_not_followed(tmp_path: Path) -> None:
    directory = tmp_path / "download"
    directory.mkdir()
    (directory / "model").symlink_to(tmp_path)
    with pytest.raises(BrokenDownload, match="link that leads out"):
        target_path(directory, "model/config.json")


def test_a_file_is_present_only_with_the_same_content(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    entry: Artifact = {
        "name": "report.json",
        "kind": "report",
        "size": 4,
        "sha256": hashlib.sha256(b"true").hexdigest(),
        "media_type": "application/json",
        "url": "",
    }
    assert not is_present(path, entry)
    path.write_bytes(b"tru")
    assert not is_present(path, entry)
    path.write_bytes(b"TRUE")
    assert not is_present(path, entry)
    path.write_bytes(b"true")
    assert is_present(path, entry)
