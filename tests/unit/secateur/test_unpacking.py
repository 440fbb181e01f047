"""`secateur unpack`: the directory comes out, or one sentence that says why not, and nothing else."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pruning_core.packed.packing import pack
from secateur.cli import packed
from secateur.errors import CannotUnpack
from tests.unit.pruning_core.packed.models import contents, directory_of, sparse


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model's directory, and the packed file beside it."""
    directory = directory_of({"weight": sparse((64, 64), 0.1)}, tmp_path / "model")
    pack(directory, tmp_path / "model.packed")
    return directory


def secateur(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "secateur", *words], capture_output=True, text=True, timeout=120, check=False
    )


def test_what_comes_out_is_what_went_in(model: Path, tmp_path: Path) -> None:
    done = secateur("unpack", str(tmp_path / "model.packed"), str(tmp_path / "out"), "--json")
    assert done.returncode == 0, done.stderr
    assert contents(tmp_path / "out") == contents(model)
    assert json.loads(done.stdout) == [str(tmp_path / "out" / name) for name in sorted(contents(model))]


@pytest.mark.parametrize(
    ("config", "loader"),
    [
        ('{"architectures": ["BertForSequenceClassification"]}', "BertForSequenceClassification"),
        ('{"architectures": ["os; remove"]}', "AutoModel"),
        ('{"architectures": null}', "AutoModel"),
        ("[]", "AutoModel"),
    ],
)
def test_it_names_the_class_that_loads_the_model_with_its_head(
    config: str, loader: str, model: Path, tmp_path: Path
) -> None:
    (model / "config.json").write_text(config)
    pack(model, tmp_path / "with-config.packed")
    done = secateur("unpack", str(tmp_path / "with-config.packed"), str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    assert f"Load it with: transformers.{loader}.from_pretrained(" in " ".join(done.stderr.split())


@pytest.mark.parametrize(
    ("change", "words", "reason"),
    [
        (b"PK\x03\x04", [], "model.packed: This is no packed model"),
        (None, ["--most-bytes", "10"], "10 are allowed"),
    ],
)
def test_what_cannot_be_unpacked_is_told_in_a_sentence(
    change: bytes | None, words: list[str], reason: str, model: Path, tmp_path: Path
) -> None:
    if change:
        (tmp_path / "model.packed").write_bytes(change)
    done = secateur("unpack", str(tmp_path / "model.packed"), str(tmp_path / "out"), *words)
    assert done.returncode == 1
    assert reason in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_what_is_no_file_is_told_and_no_pipe_is_waited_for(model: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in ("nothing", "pipe", "."):
        done = secateur("unpack", str(tmp_path / name), str(tmp_path / "out"))
        assert f"{tmp_path / name} is not there, or is no plain file" in " ".join(done.stderr.split())
    done = secateur("unpack", str(tmp_path / "model.packed"), str(tmp_path / "model.packed" / "out"))
    assert f"{tmp_path / 'model.packed'}: File exists." in " ".join(done.stderr.split())
    assert "Errno" not in done.stderr


def test_without_its_packages_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(packed, "find_spec", lambda name: None if name == "constriction" else object())
    with pytest.raises(CannotUnpack, match=r"constriction\. Install them with: pip install 'secateur\[packed\]'"):
        packed.unpack(tmp_path / "model.packed", tmp_path / "out")


def test_unpacking_imports_no_torch() -> None:
    code = (
        "import pruning_core.packed.unpacking, sys; print(*({'torch', 'transformers', 'pydantic'} & set(sys.modules)))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60)
    assert loaded.stdout.split() == []
