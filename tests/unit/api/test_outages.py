"""A disk that is full and a database that keeps everybody waiting: answers come all the same."""

import errno
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TextIO

import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from store import Settings
from store.key_text import mint
from store.output import BestEffort
from tests.unit.api.calling import Api
from tests.unit.api.uploads import sentences

FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full here")


@pytest.fixture
def full() -> Iterator[TextIO]:
    """A stream that takes nothing."""
    stream = FULL.open("w")
    yield stream
    with suppress(OSError):  # it tries once more to be rid of what it holds
        stream.close()


@needs_full
def test_a_log_that_cannot_be_written_costs_no_answer(
    tmp_path: Path, full: TextIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(database_url=f"sqlite:///{tmp_path / 'empty.db'}", broker_url="redis://127.0.0.1:1/0")
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        monkeypatch.setattr(sys, "stderr", full)
        alive = client.get("/healthz")
        behind = client.get("/v1/jobs", headers={"Authorization": f"Bearer {mint('key_' + '0' * 32)[0]}"})
        monkeypatch.undo()
    assert alive.status_code == 200
    assert behind.status_code == 503
    assert behind.headers["content-type"] == "application/problem+json"


@needs_full
def test_a_log_that_cannot_be_written_does_not_end_the_reconciler(tmp_path: Path, full: TextIO) -> None:
    script = [sys.executable, "-m", "worker.reconciler", "--once"]
    environment = {"SECATEUR_DATABASE_URL": f"sqlite:///{tmp_path / 'empty.db'}", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(script, stdout=full, stderr=subprocess.PIPE, env=environment, check=False, text=True)
    assert "Traceback" not in done.stderr.partition("Exception ignored")[0], done.stderr


def test_what_can_be_written_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    stream = BestEffort("stderr")
    print("a line", file=stream, flush=True)
    assert capsys.readouterr().err == "a line\n"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_an_upload_that_finds_no_room_is_told_to_come_back(
    api: Api, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(number, "no room")

    monkeypatch.setattr("api.datasets.service.take_in", full)
    answer = api.upload_dataset(train=("train.csv", sentences(50)))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "60")
    assert answer.headers["content-type"] == "application/problem+json"


def test_the_process_says_that_it_lives_while_all_its_threads_wait(
    api: Api, settings: Settings, model: str, dataset: str
) -> None:
    spec = {"model": model, "dataset": dataset, "method": "movement", "target_sparsity": 0.9}
    path = api.submit(spec).headers["location"]
    lock = sqlite3.connect(settings.database_url.removeprefix("sqlite:///"), isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    started = threading.Barrier(46)

    def pin() -> int:
        started.wait()
        return api.call("POST", f"{path}/pin").status_code

    with ThreadPoolExecutor(45) as pool:
        asked = [pool.submit(pin) for _ in range(45)]
        started.wait()
        time.sleep(0.5)
        began = time.monotonic()
        alive = api.get("/healthz")
        took = time.monotonic() - began
        lock.execute("ROLLBACK")
        answered = [each.result() for each in asked]
    lock.close()
    assert (alive.status_code, took < 5) == (200, True), took
    assert set(answered) == {200}
    api.call("POST", f"{path}/cancel")
