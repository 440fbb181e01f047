"""Every command that the images, the compose file and the deployment guide name is run here as written."""

import re
import shlex
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import pytest

from store import NewJob, Scope, create_job, create_key, ensure_team, open_database, request_pause
from tests.deploy.containers import ROOT, compose, last_instruction
from tests.deploy.processes import Running, running

SERVICES = compose(environment={"POSTGRES_PASSWORD": "p", "REDIS_PASSWORD": "r"})["services"]


def python(command: list[str]) -> list[str]:
    """A command that starts with `python`, for this interpreter."""
    assert command[0] == "python"
    return [sys.executable, *command[1:]]


def succeeds(command: list[str], environment: Mapping[str, str]) -> bool:
    """Whether a health check's command ends with code 0."""
    return subprocess.run(command, env=environment, capture_output=True, check=False, timeout=60).returncode == 0


@pytest.fixture
def port() -> int:
    """A loopback port that is free now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        number: int = listener.getsockname()[1]
    return number


@contextmanager
def api(port: int, environment: Mapping[str, str]) -> Iterator[Running]:
    """The api image's main process, listening on loopback instead of the container's network."""
    program, *arguments = last_instruction("api", "CMD").value
    here = {"8000": str(port), "0.0.0.0": "127.0.0.1"}  # noqa: S104  # replaced, not bound
    with running([program, *[here.get(argument, argument) for argument in arguments]], environment) as service:
        service.wait_until(lambda: answers(port))
        yield service


def answers(port: int) -> bool:
    """Whether the API says that its process is alive."""
    try:
        return httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=2).is_success
    except httpx.TransportError:
        return False


def test_migrate_makes_the_schema_and_may_run_again(tmp_path: Path, environment: Mapping[str, str]) -> None:
    database = tmp_path / "new.db"
    for _ in range(2):
        fresh = {**environment, "SECATEUR_DATABASE_URL": f"sqlite:///{database}"}
        subprocess.run(python(SERVICES["migrate"]["command"]), env=fresh, check=True, timeout=60)
    with closing(sqlite3.connect(database)) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert "alembic_version" in tables
    assert len(tables) > 10


def test_the_first_key_of_the_guide_opens_the_api(port: int, environment: Mapping[str, str]) -> None:
    guide = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
    [words] = re.findall(r"docker compose run .* migrate secateur (keys create .*)", guide)
    command = [sys.executable, "-m", "secateur", *shlex.split(words)]
    keyed = {**environment, "SECATEUR_SERVER_SECRET": "s" * 32}
    made = subprocess.run(command, env=keyed, capture_output=True, text=True, check=True, timeout=60)
    with api(port, keyed):
        headers = {"Authorization": f"Bearer {made.stdout.strip()}"}
        listing = httpx.get(f"http://127.0.0.1:{port}/v1/keys", headers=headers)
    [key] = listing.json()["data"]
    assert (key["name"], key["scopes"]) == ("first key", ["admin"])


def test_the_api_passes_its_health_check_only_while_it_runs(port: int, environment: Mapping[str, str]) -> None:
    value = last_instruction("api", "HEALTHCHECK").value
    check = python([part.replace("8000", str(port)) for part in value[value.index("python") :]])
    assert not succeeds(check, environment)
    with api(port, environment) as service:
        assert succeeds(check, environment)
        service.stop()
    assert not succeeds(check, environment)


def test_an_open_stream_does_not_keep_the_api_from_stopping(port: int, environment: Mapping[str, str]) -> None:
    """Docker kills after `stop_grace_period`, with requests in mid-air; clients of a stream come back by themselves."""
    database = open_database(environment["SECATEUR_DATABASE_URL"])
    with database.write() as session:
        team = ensure_team(session, "followers").id
        _, key = create_key(session, team, "all", list(Scope))
        job = create_job(session, team, NewJob(method="movement", target_sparsity=0.9, spec={})).job.id
        request_pause(session, team, job)  # so that no worker of another test takes it
    database.close()
    headers = {"Authorization": f"Bearer {key}", "Accept": "text/event-stream"}
    url = f"http://127.0.0.1:{port}/v1/jobs/{job}/events"
    with api(port, environment) as service, httpx.stream("GET", url, headers=headers, timeout=60) as stream:
        next(stream.iter_raw())
        began = time.monotonic()
        service.stop()
        assert time.monotonic() - began < 20


def test_the_worker_passes_its_health_check_and_stops_when_asked(environment: Mapping[str, str]) -> None:
    kind, check = SERVICES["worker"]["healthcheck"]["test"]
    assert kind == "CMD-SHELL"
    # Inside a container, Celery names a worker after the container's host name by itself.
    command = [*last_instruction("worker", "CMD").value, "--hostname", f"celery@{environment['HOSTNAME']}"]
    with running(command, environment) as worker:
        worker.wait_until(lambda: "ready" in worker.output())
        assert succeeds(["sh", "-c", check], environment)
        worker.stop()
        assert "secateur.work" in worker.output(), "The worker lists the tasks it serves when it starts."


def test_the_reconciler_keeps_running_and_stops_when_asked(environment: Mapping[str, str]) -> None:
    with running(python(SERVICES["reconciler"]["command"]), environment) as reconciler:
        with pytest.raises(subprocess.TimeoutExpired):
            reconciler.process.wait(timeout=3)
        reconciler.stop()
