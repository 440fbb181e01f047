"""What the embedded service's parts are started with."""

from pathlib import Path

import pytest

from secateur.embedded import programs
from secateur.embedded.data_dir import DataDir
from secateur.embedded.programs import Parts


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OMP_NUM_THREADS", "SECATEUR_WORKER_GPUS"):
        monkeypatch.delenv(name, raising=False)


def threads_of_each(folder: Path, workers: int) -> list[str | None]:
    parts = Parts(DataDir(folder), "redis://localhost")
    return [parts.worker(number, workers).env.get("OMP_NUM_THREADS") for number in range(1, workers + 1)]


@pytest.mark.parametrize(
    ("cores", "workers", "each"), [(2, 1, None), (2, 2, "1"), (8, 2, "4"), (8, 3, "2"), (2, 5, "1")]
)
def test_workers_share_the_cores(
    cores: int, workers: int, each: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "available_cores", lambda: cores)
    assert threads_of_each(tmp_path, workers) == [each] * workers


@pytest.mark.parametrize(
    ("name", "value", "each"), [("OMP_NUM_THREADS", "7", "7"), ("SECATEUR_WORKER_GPUS", "1", None)]
)
def test_the_operators_word_counts(
    name: str, value: str, each: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    assert threads_of_each(tmp_path, 2) == [each, each]
