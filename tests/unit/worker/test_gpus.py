"""How many GPUs a worker offers: what the operator says, or what CUDA would see."""

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from worker.gpus import offered_gpus, visible_gpus

TWO = """GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-1)
  MIG 1g.10gb     Device  0: (UUID: MIG-1)
GPU 1: NVIDIA H100 80GB HBM3 (UUID: GPU-2)
"""


@pytest.fixture(autouse=True)
def _bare_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No driver, nothing chosen."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    visible_gpus.cache_clear()
    yield
    visible_gpus.cache_clear()


def driver(folder: Path, output: str, code: int = 0) -> None:
    """Install an nvidia-smi."""
    program = folder / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n[ \"$1\" = -L ] || exit 9\nprintf '%s' '{output}'\nexit {code}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)


def test_without_gpus_a_worker_runs_what_asks_for_one() -> None:
    assert visible_gpus() == 0
    assert offered_gpus("auto") == offered_gpus(0) == 1


def test_the_driver_is_asked(tmp_path: Path) -> None:
    driver(tmp_path, TWO)
    assert offered_gpus("auto") == 2


def test_a_driver_that_fails_shows_none(tmp_path: Path) -> None:
    driver(tmp_path, "GPU 0: half dead\n", code=15)
    assert visible_gpus() == 0


@pytest.mark.parametrize(
    ("chosen", "count"), [("0", 1), ("0,2,3", 3), ("GPU-1, GPU-2", 2), ("", 0), ("-1", 0), ("0,-1,1", 1)]
)
def test_what_cuda_is_told_to_show_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chosen: str, count: int
) -> None:
    driver(tmp_path, TWO)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", chosen)
    assert visible_gpus() == count


def test_the_operator_has_the_last_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert offered_gpus(4) == 4
