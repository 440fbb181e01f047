"""The embedded service's Valkey, for real."""

import os
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from secateur import EmbeddedError
from secateur.embedded import broker


def test_a_data_directory_of_any_depth_gets_a_working_socket(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["a" * 60] * 4)
    with broker.socket_directory(deep) as directory:
        assert directory.stat().st_mode & 0o777 == 0o700
        with subprocess.Popen(broker.command(directory), stdout=subprocess.DEVNULL) as server:
            try:
                deadline = time.monotonic() + 10
                while not broker.answers(directory):
                    assert server.poll() is None
                    assert time.monotonic() < deadline
                    time.sleep(0.02)
                assert (directory / broker.SOCKET_NAME).stat().st_mode & 0o777 == 0o700
            finally:
                server.terminate()
    assert not directory.exists()


def test_a_long_temporary_directory_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = tmp_path / ("t" * 100)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    with broker.socket_directory(tmp_path) as directory:
        assert len(os.fsencode(directory / broker.SOCKET_NAME)) <= broker.LONGEST_SOCKET_PATH


def test_what_a_killed_service_left_is_taken_over(tmp_path: Path) -> None:
    with broker.socket_directory(tmp_path) as first:
        (first / broker.SOCKET_NAME).touch()
        with broker.socket_directory(tmp_path) as second:
            assert second == first


def test_two_data_directories_have_two_sockets(tmp_path: Path) -> None:
    with broker.socket_directory(tmp_path / "a") as first, broker.socket_directory(tmp_path / "b") as second:
        assert first != second


def test_a_directory_that_others_can_enter_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with broker.socket_directory(tmp_path) as directory:
        directory.chmod(0o755)
        with pytest.raises(EmbeddedError, match="should be a private directory"), broker.socket_directory(tmp_path):
            pass


def test_no_server_no_answer(tmp_path: Path) -> None:
    assert not broker.answers(tmp_path)
