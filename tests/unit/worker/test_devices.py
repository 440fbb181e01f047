"""What a worker offers: what the operator says, or what CUDA would see."""

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from worker.devices import devices_of, visible_gpus

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


def test_without_gpus_a_worker_runs_what_asks_for_one_on_whatever_is_there() -> None:
    found = devices_of("auto")
    assert (found.names, found.offered, found.variables([])) == ((), 1, {})


def test_the_driver_names_the_gpus(tmp_path: Path) -> None:
    driver(tmp_path, TWO)
    found = devices_of("auto")
    assert (found.names, found.offered) == (("GPU-1", "GPU-2"), 2)
    assert found.variables(["GPU-2"]) == {"CUDA_VISIBLE_DEVICES": "GPU-2"}
    assert found.variables(["GPU-1", "GPU-2"]) == {"CUDA_VISIBLE_DEVICES": "GPU-1,GPU-2"}


def test_a_driver_that_fails_shows_none(tmp_path: Path) -> None:
    driver(tmp_path, "GPU 0: half dead\n", code=15)
    assert visible_gpus() == ()


@pytest.mark.parametrize(
    ("chosen", "names"),
    [
        ("0", ("0",)),
        ("0,2,3", ("0", "2", "3")),
        ("GPU-1, GPU-2", ("GPU-1", "GPU-2")),
        ("", ()),
        ("-1", ()),
        ("0,-1,1", ("0",)),
    ],
)
def test_what_cuda_is_told_to_show_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chosen: str, names: tuple[str, ...]
) -> None:
    driver(tmp_path, TWO)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", chosen)
    assert visible_gpus() == names


def test_the_operator_may_lend_fewer_but_no_more_than_there_are(tmp_path: Path) -> None:
    driver(tmp_path, TWO)
    assert devices_of(1).names == ("GPU-1",)
    assert devices_of(4).names == ("GPU-1", "GPU-2")


def test_where_nobody_tells_what_there_is_the_operator_does() -> None:
    assert devices_of(3).names == ("0", "1", "2")


def test_a_worker_that_lends_none_hides_them_from_its_jobs(tmp_path: Path) -> None:
    driver(tmp_path, TWO)
    found = devices_of(0)
    assert (found.names, found.offered, found.variables([])) == ((), 1, {"CUDA_VISIBLE_DEVICES": ""})


def test_a_cpu_in_parts_is_lent_with_its_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    driver(tmp_path, TWO)
    monkeypatch.setattr("worker.devices._cores", lambda: 12)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    found = devices_of("cpu:4")
    assert (len(found.names), found.offered) == (4, 4)
    assert found.variables(found.names[:1]) == {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "3"}
    assert found.variables(found.names) == {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "12"}
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert "OMP_NUM_THREADS" not in found.variables(found.names), "the operator has said how many"
