"""Large uploads through connections that break and an API that is killed: the client goes on where it was."""

import hashlib
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from itertools import accumulate, pairwise
from pathlib import Path

import numpy as np
import pytest

from secateur import Client, Invalid, ServiceUnreachable, resumable
from secateur.address import Address
from secateur.embedded.listener import listen, url_of
from secateur.transport import Again, Transport
from store import Scope, create_key, ensure_team, open_database
from store.migrate import upgrade
from tests.service.secateur.test_client import api_on

pytestmark = pytest.mark.slow

SIZE = 40_000_000


class Lossy:
    """A way to a service that is cut after so many bytes of the client's, as often as it is told."""

    def __init__(self, to: int, cuts: list[int]) -> None:
        self._to = to
        self._cuts = cuts
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._server.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            service = socket.create_connection(("127.0.0.1", self._to))
            for source, target, counted in ((client, service, True), (service, client, False)):
                threading.Thread(target=self._pass_on, args=(source, target, counted), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket, counted: bool) -> None:
        passed = 0
        try:
            while data := source.recv(65_536):
                passed += len(data)
                if counted and self._cuts and passed > self._cuts[0]:
                    self._cuts.pop(0)
                    break
                target.sendall(data)
        except OSError:
            pass
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)  # wakes the other thread
            end.close()


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    url = f"sqlite:///{tmp_path / 'uploads.db'}"
    upgrade(url)
    return {"SECATEUR_DATABASE_URL": url, "SECATEUR_BROKER_URL": "redis://127.0.0.1:1/0"}


@pytest.fixture
def key(environment: dict[str, str]) -> str:
    database = open_database(environment["SECATEUR_DATABASE_URL"])
    with closing(database), database.write() as session:
        return create_key(session, ensure_team(session, "senders").id, "test", list(Scope))[1]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    path.write_bytes(np.random.default_rng(0).bytes(SIZE))
    return path


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with listen("127.0.0.1", 0) as listener:
        yield listener


def sha256_of(transport: Transport, upload: str) -> object:
    return transport.send("GET", f"/v1/uploads/{upload}", again=Again.ALWAYS).json()["sha256"]


def test_an_upload_goes_on_where_the_connection_broke(
    listener: socket.socket, environment: dict[str, str], key: str, file: Path
) -> None:
    told: list[int] = []
    with (
        api_on(listener, environment) as api,
        closing(Lossy(listener.getsockname()[1], [9_000_000, 20_000_000])) as way,
    ):
        transport = Transport(Address(way.url, key, "a test"), 120.0)
        upload = resumable.send(transport, file, told.append, 120.0)
        assert way._cuts == []
        assert sha256_of(transport, upload) == hashlib.sha256(file.read_bytes()).hexdigest()
        transport.close()
        api.terminate()
    assert sum(told) == SIZE
    totals = list(accumulate(told))
    resumed = [after for before, after in pairwise(totals) if after < before]
    assert len(resumed) >= 2
    assert resumed == sorted(resumed), "what the service has stays there"
    assert resumed[-1] > 4 * 2**20


def test_an_upload_survives_the_api(listener: socket.socket, environment: dict[str, str], key: str, file: Path) -> None:
    apis = [api_on(listener, environment)]
    killed_at: list[int] = []
    sent = 0

    def kill_halfway(further: int) -> None:
        nonlocal sent
        sent += further
        if sent > SIZE // 2 and not killed_at:
            killed_at.append(sent)
            apis[0].send_signal(signal.SIGKILL)
            apis[0].wait()
            apis.append(api_on(listener, environment))

    transport = Transport(Address(url_of(listener), key, "a test"), 120.0)
    upload = resumable.send(transport, file, kill_halfway, 120.0)
    assert killed_at
    assert sha256_of(transport, upload) == hashlib.sha256(file.read_bytes()).hexdigest()
    transport.close()
    apis[-1].terminate()
    apis[-1].wait()


def test_a_model_with_a_large_file_is_uploaded_in_parts(
    listener: socket.socket, environment: dict[str, str], key: str, samples: Path
) -> None:
    large = samples / "tiny" / "model.safetensors"
    assert large.stat().st_size > resumable.LARGE
    with api_on(listener, environment) as api, closing(Lossy(listener.getsockname()[1], [9_000_000])) as way:
        with Client(way.url, key, timeout=120.0) as client:
            model = client.upload_model("tiny", samples / "tiny")
        api.terminate()
    [weights] = [each for each in model["files"] if each["path"] == large.name]
    assert weights["sha256"] == hashlib.sha256(large.read_bytes()).hexdigest()


def test_what_cannot_go_on_is_given_up(
    listener: socket.socket, environment: dict[str, str], key: str, file: Path
) -> None:
    small = {**environment, "SECATEUR_MAX_MODEL_BYTES": "1000", "SECATEUR_MAX_DATASET_BYTES": "1000"}
    pauses: list[float] = []
    with api_on(listener, small) as api:
        transport = Transport(Address(url_of(listener), key, "a test"), 120.0, pauses.append)
        with pytest.raises(Invalid, match="over the limit of 1,000 bytes"):
            resumable.send(transport, file, lambda _: None, 120.0)
        transport.close()
        api.terminate()
    assert pauses == []


def test_a_service_that_stays_away_is_given_up(
    listener: socket.socket, environment: dict[str, str], key: str, file: Path
) -> None:
    api = api_on(listener, environment)
    pauses: list[float] = []

    def kill(further: int) -> None:
        if further > 0:
            os.kill(api.pid, signal.SIGKILL)
            api.wait()
            listener.close()

    transport = Transport(Address(url_of(listener), key, "a test"), 120.0, pauses.append)
    with pytest.raises(ServiceUnreachable):
        resumable.send(transport, file, kill, 120.0)
    assert len(pauses) >= 9
    transport.close()
