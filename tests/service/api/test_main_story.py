"""Upload, submit, follow, download: the way of a job through a real service, over both databases."""

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
from redis import Redis

from store import open_database
from tests.service.api.conftest import Served
from tests.unit.api.finishing import finish
from tests.unit.api.uploads import sentences

CONTENT = np.random.default_rng(0).bytes(9_000_000)


def upload(service: httpx.Client, model_files: list[Path]) -> dict[str, object]:
    """Upload the tiny model and a dataset; answer the smallest spec for them."""
    model = service.post(
        "/v1/models", data={"name": "tiny"}, files=[("files", (file.name, file.read_bytes())) for file in model_files]
    )
    assert model.status_code == 201, model.text
    dataset = service.post(
        "/v1/datasets",
        data={"name": "reviews"},
        files={"train": ("train.csv", sentences(400)), "validation": ("validation.csv", sentences(60))},
    )
    assert dataset.status_code == 201, dataset.text
    uris = {"model": model.json()["uri"], "dataset": dataset.json()["uri"]}
    return {**uris, "method": "movement", "target_sparsity": 0.9}


def test_a_job_from_upload_to_download(
    service: httpx.Client, served: Served, broker: str, model_files: list[Path]
) -> None:
    spec = {**upload(service, model_files), "priority": 1000}  # before what other tests have left in the queue
    with Redis.from_url(broker) as bells:
        bells.delete("default")
        submitted = service.post("/v1/jobs", json=spec)
        assert submitted.status_code == 202, submitted.text
        heard = bells.blpop(["default"], timeout=10)
        assert heard is not None
        message = json.loads(heard[1])
    assert message["headers"]["task"] == "secateur.work"
    assert message["headers"]["argsrepr"] == "['default']", "a message names a queue, never a job"
    path = submitted.headers["location"]
    assert service.get(path).json()["status"] == "queued"

    database = open_database(served.database_url)
    mask = np.eye(64, 32, dtype=np.bool_)
    finish(database, {"model/model.safetensors": CONTENT}, {"encoder.layer.0.intermediate.dense": mask})
    database.close()

    job = service.get(path).json()
    assert (job["status"], job["attempt"], job["result"]["eval"]) == ("succeeded", 1, {"accuracy": 0.75})
    assert service.get(job["urls"]["events"]).json()[0]["type"] == "submitted"
    assert len(service.get(job["urls"]["metrics"]).json()["series"]["train/loss"]) == 10
    picture = service.get(job["urls"]["masks"], params={"layer": "encoder.layer.0.intermediate.dense", "side": 2})
    assert picture.json()["picture"]["density"] == [[0.0312, 0.0312], [0.0, 0.0]]  # a diagonal crosses 1 of 32
    files = {file["name"]: file for file in service.get(job["urls"]["artifacts"]).json()["data"]}
    with service.stream("GET", files["model/model.safetensors"]["url"]) as answer:
        received = b"".join(answer.iter_bytes())
        assert answer.headers["content-length"] == str(len(CONTENT))
    assert hashlib.sha256(received).hexdigest() == files["model/model.safetensors"]["sha256"]
    tail = service.get(files["model/model.safetensors"]["url"], headers={"Range": "bytes=-5"})
    assert (tail.status_code, tail.content) == (206, CONTENT[-5:])


def test_of_many_equal_submits_at_once_one_becomes_a_job(service: httpx.Client, model_files: list[Path]) -> None:
    spec = upload(service, model_files)
    with ThreadPoolExecutor(8) as threads:
        answers = list(
            threads.map(lambda _: service.post("/v1/jobs", json=spec, headers={"Idempotency-Key": "once"}), range(16))
        )
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert len(service.get("/v1/jobs").json()["data"]) == 1


def test_text_that_no_database_can_hold_is_refused_before_it_gets_there(service: httpx.Client) -> None:
    for path in ("/v1/jobs?q=%00", "/v1/jobs?method=%00", "/v1/jobs?tag=a:%00"):
        assert service.get(path).status_code == 422, path
    assert service.get("/v1/jobs/%00").status_code == 404
    zeros = "0" * 32
    assert service.get(f"/v1/jobs/job_{zeros}/artifacts/%00").status_code == 404
    assert service.get(f"/v1/jobs/job_{zeros}").status_code == 404
    lone = service.post("/v1/jobs", content=b'{"name": "\\ud800"}', headers={"Content-Type": "application/json"})
    assert lone.status_code == 422
