"""`secateur up` starts, survives, refuses and stops as it promises, with real processes and real signals."""

import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import httpx
import psutil
import pytest

from secateur import Client, EmbeddedService
from secateur.embedded import broker
from tests.service.secateur.up import Up, command, environment, living, secateur, until

pytestmark = pytest.mark.slow


def is_ready(url: str) -> bool:
    try:
        return bool(httpx.get(f"{url}/readyz", timeout=5).json()["status"] == "ready")
    except (httpx.TransportError, ValueError):
        return False


def test_what_it_keeps_is_for_its_owners_eyes(service: Up) -> None:
    assert stat.S_IMODE(service.data_dir.stat().st_mode) == 0o700
    for name in ("admin.key", "service.json", "secateur.db"):
        assert stat.S_IMODE((service.data_dir / name).stat().st_mode) == 0o600, name
    for log in (service.data_dir / "logs").iterdir():
        assert stat.S_IMODE(log.stat().st_mode) == 0o600, log


def test_it_is_ready_when_it_says_so_and_its_key_opens_it(service: Up, client: Client) -> None:
    assert is_ready(service.url)
    assert client.methods()


def test_the_broker_listens_on_no_port(service: Up) -> None:
    assert not service.child("valkey-server").net_connections("inet")


def test_other_commands_find_it_by_themselves(service: Up) -> None:
    assert secateur(service.data_dir, "methods").code == 0


def test_a_second_one_on_the_same_data_directory_is_refused(service: Up) -> None:
    second = secateur(service.data_dir, "up", "--port", "0")
    assert second.code == 1
    assert f"(process {service.process.pid}, {service.url})" in second.err
    assert "--data-dir" in second.err
    assert "Traceback" not in second.err
    assert is_ready(service.url)


def test_a_busy_port_is_refused(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        refused = secateur(tmp_path / "data", "up", "--port", str(port))
    assert refused.code == 1
    assert f"Port {port} on 127.0.0.1 is already in use" in refused.err
    assert "Traceback" not in refused.err


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent has died")
def test_it_stops_clean_starts_again_with_all_it_had_and_leaves_nothing_when_killed(tmp_path: Path) -> None:
    data = tmp_path / "data"
    (tmp_path / "train.csv").write_text("text,label\ngood,1\nbad,0\n")
    with Up(data) as up:
        key = up.key
        uploaded = secateur(data, "datasets", "upload", "reviews", f"train={tmp_path / 'train.csv'}")
        assert uploaded.code == 0, uploaded.err
        family = up.family()
        assert len(family) >= 4
        assert up.stop(signal.SIGINT) == 0
        assert living(family) == []
        assert not (data / "service.json").exists()
        with broker.socket_directory(data) as directory:
            assert not list(directory.iterdir())
    with Up(data) as up:
        assert up.key == key
        assert uploaded.out.strip() in secateur(data, "datasets", "list").out
        family = up.family()
        up.process.kill()
        up.process.wait()
        until(lambda: not living(family))
    # The directory of the broker's socket is left for the next start to take over; here none comes.
    with broker.socket_directory(data):
        pass


@pytest.mark.parametrize("words", [["uvicorn"], ["valkey-server"], ["celery"], ["worker.reconciler"]])
def test_a_process_that_was_killed_is_restarted(service: Up, words: list[str]) -> None:
    victim = service.child(*words)
    below = victim.children(recursive=True)
    victim.kill()

    def is_back() -> bool:
        try:
            return service.child(*words).pid != victim.pid
        except (ValueError, psutil.NoSuchProcess):
            return False

    until(is_back)
    until(lambda: is_ready(service.url))
    until(lambda: not living(below))
    assert "was killed by SIGKILL; starting it again" in service.err.read_text()


def test_a_second_ctrl_c_waits_for_nobody(tmp_path: Path) -> None:
    with Up(tmp_path / "data") as up:
        family = up.family()
        up.child("celery").suspend()  # it cannot stop in order any more
        up.process.send_signal(signal.SIGINT)
        until(lambda: "Ctrl-C again stops at once" in up.err.read_text())
        assert up.stop(signal.SIGINT) == 130
        until(lambda: not living(family))


def test_a_stop_while_it_starts_is_a_stop(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with subprocess.Popen(
        command("up", "--port", "0", "--data-dir", str(data)), env=environment(data), start_new_session=True
    ) as process:
        until((data / "logs" / "broker.log").exists)
        family = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0
    assert living(family) == []
    assert not (data / "service.json").exists()


def test_what_dies_at_the_start_is_told_with_its_log(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "secateur.db").write_text("This is no database. " * 100)
    failed = secateur(data, "up", "--port", "0")
    assert failed.code == 1
    assert "The migrate process ended with exit code 1" in failed.err
    assert "file is not a database" in failed.err


def test_it_can_be_held_by_a_program(tmp_path: Path) -> None:
    with EmbeddedService(tmp_path / "data") as service, Client(service.url, service.key) as client:
        assert {method["name"] for method in client.methods()} >= {"movement", "magnitude"}
        assert set(service.pids) == {"broker", "API", "worker", "reconciler"}
        family = [each for pid in service.pids.values() for each in with_descendants(pid)]
    assert living(family) == []


def with_descendants(pid: int) -> list[psutil.Process]:
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]
