"""The scratch folder: private, shared by the workers of a host, and swept of what the dead have left."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from worker.scratch import Scratch

HOLDS = """
import sys, time
from pathlib import Path
from worker.scratch import Scratch
scratch = Scratch(Path(sys.argv[1]))
scratch.check()
with scratch.folder("job_a-1") as folder:
    (folder / "model").mkdir()
    (folder / "model" / "weights").write_bytes(bytes(1000))
    print("up", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def scratch(tmp_path: Path) -> Scratch:
    made = Scratch(tmp_path / "not" / "there")
    made.check()
    return made


def test_a_folder_is_private_and_goes_with_its_attempt(scratch: Scratch) -> None:
    with scratch.folder("job_a-1") as folder:
        assert folder.stat().st_mode & 0o777 == 0o700
        (folder / "file").touch()
    assert not folder.exists()
    assert list(folder.parent.iterdir()) == []


def test_a_sweep_takes_the_folders_of_the_dead_and_no_others(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path)
    with (
        subprocess.Popen([sys.executable, "-c", HOLDS, str(tmp_path)], stdout=subprocess.PIPE) as owner,
        scratch.folder("job_b-1") as own,
    ):
        assert owner.stdout is not None
        owner.stdout.readline()
        (tmp_path / "notes").mkdir()
        scratch.sweep()
        assert (tmp_path / "job_a-1" / "model" / "weights").exists(), "its owner lives"
        owner.kill()
        owner.wait()
        scratch.sweep()
        assert sorted(path.name for path in tmp_path.iterdir()) == [own.name, "notes"]


def test_a_folder_whose_maker_died_at_once_goes_when_it_is_old(scratch: Scratch, tmp_path: Path) -> None:
    root = tmp_path / "not" / "there"
    old, new = root / ".job_a-1.17", root / ".job_b-1.18"
    for each in (old, new):
        each.mkdir()
    long_ago = time.time() - 7 * 3600
    os.utime(old, (long_ago, long_ago))
    scratch.sweep()
    assert list(root.iterdir()) == [new]


def test_what_lies_where_a_folder_shall_be_is_cleared_away(scratch: Scratch, tmp_path: Path) -> None:
    left = tmp_path / "not" / "there" / "job_a-1"
    (left / "model").mkdir(parents=True)
    with scratch.folder("job_a-1") as folder:
        assert not (folder / "model").exists()


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        Scratch(tmp_path / "file" / "scratch").check()


def test_a_full_disk_is_told(scratch: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.scratch._LEAST_FREE_BYTES", 2**62)
    with pytest.raises(OSError, match="disk is full"):
        scratch.check()
