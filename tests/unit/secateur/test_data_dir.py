"""A data directory belongs to one service at a time, and to its owner's eyes."""

from pathlib import Path

import pytest

from secateur.embedded import data_dir as rooms
from secateur.embedded.data_dir import DataDir
from secateur.errors import DataDirBusy, EmbeddedError


def test_a_new_directory_is_private(tmp_path: Path) -> None:
    files = DataDir(tmp_path / "data")
    with files.claimed():
        for path in (files.path, files.logs, files.scratch):
            assert path.stat().st_mode & 0o777 == 0o700


def test_a_second_service_is_refused_and_told_of_the_first(tmp_path: Path) -> None:
    first, second = DataDir(tmp_path), DataDir(tmp_path)
    with first.claimed():
        first.announce({"url": "http://127.0.0.1:8000", "pid": 17})
        with (
            pytest.raises(DataDirBusy, match=r"\(process 17, http://127.0.0.1:8000\).*--data-dir"),
            second.claimed(),
        ):
            pass
    with second.claimed():
        pass


def test_what_is_announced_is_readable_by_the_owner_alone(tmp_path: Path) -> None:
    files = DataDir(tmp_path)
    files.announce({"url": "http://127.0.0.1:8000"})
    assert files.service_file.stat().st_mode & 0o777 == 0o600
    files.withdraw()
    files.withdraw()
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_a_directory_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EmbeddedError, match="cannot be used"), DataDir(tmp_path / "file").claimed():
        pass


def test_a_path_that_a_database_url_cannot_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedError, match="cannot hold"):
        DataDir(tmp_path / "what?")


def test_a_relative_path_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert DataDir(Path("data")).database_url == f"sqlite:///{tmp_path}/data/secateur.db"


def test_a_grown_log_moves_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rooms, "LOG_BYTES", 3)
    files = DataDir(tmp_path)
    files.logs.mkdir()
    files.log("API").write_text("much")
    files.log("worker").write_text("low")
    with files.claimed():
        assert sorted(path.name for path in files.logs.iterdir()) == ["API.log.1", "worker.log"]


def test_a_new_database_gets_a_secret_and_one_that_is_there_goes_on_without(tmp_path: Path) -> None:
    new, old = DataDir(tmp_path / "new"), DataDir(tmp_path / "old")
    for files in (new, old):
        files.path.mkdir()
    old.database.touch()
    for files in (new, old):
        files.see_to_secret()
    secret = new.environment()["SECATEUR_SERVER_SECRET"]
    assert len(secret) == 64
    assert new.secret_file.stat().st_mode & 0o777 == 0o600
    assert old.environment()["SECATEUR_SERVER_SECRET"] == ""
    new.see_to_secret()
    assert new.environment()["SECATEUR_SERVER_SECRET"] == secret
