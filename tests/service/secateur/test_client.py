"""`secateur.Client` against a real API process."""

import hashlib
import os
import socket
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

import pytest

from secateur import (
    BrokenDownload,
    Client,
    Conflict,
    Invalid,
    NotFound,
    ServiceUnavailable,
    ServiceUnreachable,
    WaitTimeout,
)
from secateur.address import Address
from secateur.downloads import BLOCK, fetch
from secateur.embedded.listener import listen, url_of
from secateur.resources import Job, Sort
from secateur.transport import LONGEST_PAUSE_S, TRIES, Again, Transport
from store import Scope, create_key, ensure_team, open_database
from store.key_text import mint
from store.migrate import upgrade
from tests.service.secateur.up import Up, until

pytestmark = pytest.mark.slow


def test_the_same_idempotency_key_gives_the_same_job(client: Client, waiting_spec: dict[str, object]) -> None:
    first = client.submit(waiting_spec, idempotency_key="once")
    assert client.submit(waiting_spec, idempotency_key="once")["id"] == first["id"]
    with pytest.raises(Invalid, match="once"):
        client.submit(waiting_spec | {"target_sparsity": 0.5}, idempotency_key="once")
    client.cancel(first["id"])


def test_each_submit_is_a_job_of_its_own(client: Client, waiting_spec: dict[str, object]) -> None:
    first, second = client.submit(waiting_spec), client.submit(waiting_spec)
    assert first["id"] != second["id"]
    for job in (first, second):
        client.cancel(job["id"])


def test_a_refusal_carries_its_fields(client: Client, spec: dict[str, object]) -> None:
    with pytest.raises(Invalid) as caught:
        client.submit(spec | {"target_sparsity": 2, "method": "scissors"})
    assert caught.value.status == 422
    assert {error.pointer for error in caught.value.errors} == {"/target_sparsity", "/method"}


def test_what_a_job_leaves_behind(client: Client, job: Job) -> None:
    assert client.job(job["id"]) == job
    assert [each["id"] for each in client.jobs(tag="from:the command line")] == [job["id"]]

    events = client.events(job["id"])
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert client.events(job["id"], after=len(events) - 1) == events[-1:]

    assert "train/loss" in client.metrics(job["id"])
    assert set(client.metrics(job["id"], name="train/loss", max_points=5)) == {"train/loss"}

    layers = client.masks(job["id"])
    kept, total = sum(layer["kept"] for layer in layers), sum(layer["total"] for layer in layers)
    assert kept / total == pytest.approx(0.1, abs=0.01)

    with pytest.raises(Conflict):
        client.cancel(job["id"])


def test_a_pin_comes_and_goes(client: Client, job: Job) -> None:
    assert client.pin(job["id"])["pinned"]
    assert [each["id"] for each in client.jobs(pinned=True)] == [job["id"]]
    assert job["id"] not in [each["id"] for each in client.jobs(pinned=False)]
    assert client.unpin(job["id"]) == job
    assert list(client.jobs(pinned=True)) == []


def test_a_watcher_is_told_each_state_once(client: Client, waiting_spec: dict[str, object]) -> None:
    job = client.submit(waiting_spec)
    client.cancel(job["id"])
    seen: list[str] = []
    assert client.wait(job["id"], lambda each: seen.append(each["status"]))["status"] == "cancelled"
    assert seen[-1] == "cancelled"
    assert seen.count("cancelled") == 1


def test_waiting_has_an_end_of_its_own(client: Client, waiting_spec: dict[str, object]) -> None:
    job = client.submit(waiting_spec)
    with pytest.raises(WaitTimeout, match="goes on running"):
        client.wait(job["id"], timeout_s=1)
    client.cancel(job["id"])


def test_waiting_outlasts_a_restart_of_the_api(service: Up, client: Client, long_spec: dict[str, object]) -> None:
    job = client.submit(long_spec)
    seen: list[str] = []

    def cancel_after_a_restart(each: object) -> None:
        if not seen:
            service.child("uvicorn").kill()
        seen.append("seen")
        if len(seen) == 2:
            client.cancel(job["id"])

    assert client.wait(job["id"], cancel_after_a_restart, timeout_s=90)["status"] == "cancelled"


def test_a_follower_hears_each_event_once_and_soon_through_a_restart_of_the_api(
    service: Up, client: Client, waiting_spec: dict[str, object]
) -> None:
    job = client.submit(waiting_spec)
    heard: list[int] = []
    late: list[float] = []
    for event in client.follow(job["id"]):
        heard.append(event["seq"])
        if event["type"] == "submitted":
            service.child("uvicorn").kill()
            until(lambda: client.health()["status"] == "ready", patience_s=60)
            client.cancel(job["id"])
        else:
            late.append(time.time() - datetime.fromisoformat(event["at"]).timestamp())
    known = client.events(job["id"])
    assert known[-1]["type"] == "cancelled"
    assert heard == [event["seq"] for event in known]
    assert list(client.follow(job["id"], after=len(known) - 1)) == known[-1:]
    assert late[-1] < 5, "an event is told within a look, and a pause where the connection had broken"


def test_listings_go_over_all_pages(client: Client, waiting_spec: dict[str, object]) -> None:
    sort: Sort
    made = [client.submit(waiting_spec | {"tags": {"page": "yes"}})["id"] for _ in range(5)]
    assert [job["id"] for job in client.jobs(tag="page:yes", page_size=2)] == made[::-1]
    for sort in ("created_at", "name", "finished_at"):
        assert [job["id"] for job in client.jobs(tag=["page:yes"], page_size=2, sort=sort)] == made
    assert list(client.jobs(tag=["page:yes", "page:no"])) == []
    assert list(client.jobs(tag="page:yes", status=["paused", "failed"])) == []
    for job_id in made:
        client.cancel(job_id)


def test_an_unknown_id_is_not_found_whatever_it_looks_like(client: Client) -> None:
    for job_id in ("job_" + "0" * 32, "../datasets", "ü/%2e", "x" * 500):
        with pytest.raises((NotFound, Invalid)):
            client.job(job_id)


def test_health_needs_no_key(service: Up) -> None:
    with Client(service.url) as client:
        until(lambda: client.health()["status"] == "ready")
        assert client.health()["checks"]["database"] == "ok"


def test_a_service_that_is_nowhere_is_tried_again_with_growing_pauses() -> None:
    with listen("127.0.0.1", 0) as listener:
        url = url_of(listener)
    pauses: list[float] = []
    transport = Transport(Address(url, "sec_a_b", "a test"), 5.0, pauses.append)
    with pytest.raises(ServiceUnreachable, match=r"from a test.*Connection refused.*secateur up"):
        transport.send("POST", "/v1/jobs", again=Again.IF_NOT_SENT, json={})
    transport.close()
    assert pauses == [0.25, 0.5, 1.0]


def api_on(listener: socket.socket, database: dict[str, str]) -> subprocess.Popen[bytes]:
    """An API process alone, on a socket that already listens."""
    return subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "api.app:create_app", "--factory", "--fd", str(listener.fileno())],
        env=os.environ | database,
        pass_fds=[listener.fileno()],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def test_a_service_that_is_not_ready_is_waited_for_as_long_as_it_asks(tmp_path: Path) -> None:
    """Without its tables the API answers 503 with Retry-After; they come while the client pauses."""
    database = {"SECATEUR_DATABASE_URL": f"sqlite:///{tmp_path / 'late.db'}"}
    pauses: list[float] = []

    def migrate(pause: float) -> None:
        pauses.append(pause)
        if len(pauses) == 2:
            subprocess.run([sys.executable, "-m", "store.migrate"], env=os.environ | database, check=True, timeout=60)

    with listen("127.0.0.1", 0) as listener, api_on(listener, database) as api:
        transport = Transport(Address(url_of(listener), mint(f"key_{'0' * 32}")[0], "a test"), 60.0, migrate)
        answer = transport.send("GET", "/v1/jobs", again=Again.ALWAYS, passing=(401,))
        assert answer.status_code == 401
        assert len(pauses) == 2
        assert all(0 < pause <= LONGEST_PAUSE_S for pause in pauses)
        transport.close()
        api.terminate()


def test_a_service_that_never_gets_ready_is_given_up(tmp_path: Path) -> None:
    database = {"SECATEUR_DATABASE_URL": f"sqlite:///{tmp_path / 'never.db'}"}
    pauses: list[float] = []
    with listen("127.0.0.1", 0) as listener, api_on(listener, database) as api:
        transport = Transport(Address(url_of(listener), mint(f"key_{'0' * 32}")[0], "a test"), 60.0, pauses.append)
        with pytest.raises(ServiceUnavailable, match=r"store\.migrate"):
            transport.send("GET", "/v1/jobs", again=Again.ALWAYS)
        transport.close()
        api.terminate()
    assert len(pauses) == TRIES - 1


def test_a_connection_that_breaks_after_sending_is_not_repeated_where_that_could_do_twice() -> None:
    """A listener that nobody serves stands for a service that hangs: the request is sent, no answer comes."""
    pauses: list[float] = []
    with listen("127.0.0.1", 0) as listener:
        transport = Transport(Address(url_of(listener), "sec_a_b", "a test"), 0.2, pauses.append)
        with pytest.raises(ServiceUnreachable, match="did not answer in time"):
            transport.send("POST", "/v1/jobs/job_1/cancel", again=Again.IF_NOT_SENT)
        assert pauses == []
        with pytest.raises(ServiceUnreachable):
            transport.send("POST", "/v1/jobs", again=Again.ALWAYS, headers={"Idempotency-Key": "k"}, json={})
        assert len(pauses) == TRIES - 1
        transport.close()


def test_a_download_goes_on_where_the_connection_broke(service: Up, client: Client, job: Job, tmp_path: Path) -> None:
    counted: list[int] = []
    large = max(client.artifacts(job["id"]), key=lambda artifact: artifact["size"])
    assert large["size"] > 16 * 2**20

    def break_within_the_large_file(further: int) -> None:
        if further == BLOCK and BLOCK not in counted:
            service.child("uvicorn").kill()
        counted.append(further)

    paths = client.download(job["id"], tmp_path / "pruned", break_within_the_large_file)
    assert sum(counted) == sum(path.stat().st_size for path in paths)
    assert min(counted) > 0, "Nothing had to be fetched twice."
    assert hashlib.sha256((tmp_path / "pruned" / large["name"]).read_bytes()).hexdigest() == large["sha256"]


def test_an_altered_artifact_is_not_kept(service: Up, client: Client, job: Job, tmp_path: Path) -> None:
    """The service cannot be made to lie, so the expectation is altered instead."""
    artifact = next(each for each in client.artifacts(job["id"]) if each["name"] == "report.json")
    transport = Transport(Address(service.url, service.key, "a test"), 30.0)
    with pytest.raises(BrokenDownload, match="arrived altered"):
        fetch(transport, job["id"], {**artifact, "sha256": "0" * 64}, tmp_path / "report.json", lambda further: None)
    transport.close()
    assert list(tmp_path.iterdir()) == []


def test_a_submit_waits_until_its_model_and_dataset_have_come(tmp_path: Path, samples: Path) -> None:
    database = {"SECATEUR_DATABASE_URL": f"sqlite:///{tmp_path / 'sources.db'}"}
    settings = {"SECATEUR_FILE_ROOTS": str(samples), "SECATEUR_FETCH_WAIT_S": "0"}  # the first answer is always 503
    upgrade(database["SECATEUR_DATABASE_URL"])
    store = open_database(database["SECATEUR_DATABASE_URL"])
    with store.write() as session:
        _, key = create_key(session, ensure_team(session, "sources").id, "test", list(Scope))
    store.close()
    with listen("127.0.0.1", 0) as listener, api_on(listener, database | settings) as api:
        spec = {"model": "file://tiny", "dataset": "file://train.csv", "method": "magnitude", "target_sparsity": 0.5}
        with Client(url_of(listener), key, timeout=60.0) as client:
            job = client.submit({**spec, "training": {"epochs": 20}})
            [model] = client.models()
            assert job["spec"]["model"] == model["source"]
            assert str(model["source"]).startswith("file://tiny#sha256=")
        api.terminate()
