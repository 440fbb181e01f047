"""The service while others fail: broker dead or hung, database away, uploads without end."""

import time
from collections.abc import Iterator
from pathlib import Path

import httpx

from store.key_text import mint
from tests.service.api.conftest import Served, Start, client_of
from tests.service.api.test_main_story import upload


def test_a_submit_answers_in_time_while_the_broker_hangs(
    start: Start, sqlite_url: str, black_hole: str, model_files: list[Path]
) -> None:
    url = start(database_url=sqlite_url, broker_url=black_hole)
    with client_of(Served(url, sqlite_url)) as service:
        spec = upload(service, model_files)
        service.post("/v1/jobs", json=spec)  # the first ring is on its way, and stuck
        started = time.perf_counter()
        answers = [service.post("/v1/jobs", json=spec) for _ in range(5)]
        assert time.perf_counter() - started < 2.5
        assert {answer.status_code for answer in answers} == {202}
        ready = service.get("/readyz")
    assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
    assert ready.json()["checks"] == {"database": "ok", "broker": "away", "workers": None}


def test_readiness_counts_workers(service: httpx.Client) -> None:
    ready = service.get("/readyz").json()
    assert ready == {"status": "degraded", "checks": {"database": "ok", "broker": "ok", "workers": 0}}


def test_without_its_database_the_service_starts_and_says_try_again(start: Start) -> None:
    url = start(database_url="postgresql://nobody@127.0.0.1:1/none", broker_url="redis://127.0.0.1:1/0")
    answer = httpx.get(f"{url}/v1/jobs", headers={"Authorization": f"Bearer {mint('key_' + '0' * 32)[0]}"})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert answer.headers["content-type"] == "application/problem+json"
    assert "127.0.0.1" not in answer.text, "where the database is, is nobody's business"
    ready = httpx.get(f"{url}/readyz")
    assert (ready.status_code, ready.json()["status"]) == (503, "unavailable")
    assert httpx.get(f"{url}/healthz").status_code == 200


def test_an_endless_upload_is_ended_at_the_limit(service: httpx.Client) -> None:
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        yield b'--b\r\nContent-Disposition: form-data; name="train"; filename="t.csv"\r\n\r\ntext,label\n'
        while sent < 500_000_000:
            sent += 1_000_000
            yield b"x" * 1_000_000

    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    try:
        answer = service.post("/v1/datasets", content=endless(), headers=headers)
    except httpx.TransportError:
        pass  # the service may hang up before the client has stopped talking
    else:
        assert answer.status_code == 413
    assert service.get("/v1/datasets").json()["data"] == []


def test_an_announced_upload_over_the_limit_is_refused_unread(service: httpx.Client) -> None:
    answer = service.post("/v1/models", data={"name": "n"}, files=[("files", ("model.safetensors", b"x" * 5_000_000))])
    assert answer.status_code == 413
    assert answer.headers["content-type"] == "application/problem+json"
