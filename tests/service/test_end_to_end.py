"""The promise, whole: upload, submit, poll and download over HTTP, and stock transformers loads what comes out."""

import json
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest
import torch
from jsonschema import Draft202012Validator
from numpy.typing import NDArray
from safetensors import safe_open
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from pruning_core import unpack
from pruning_core.report import sha256_of
from store import JobStatus
from tests.service.api import conftest as services
from tests.service.worker.running import until
from tests.service.worker.stage import ROOT, Stage
from tests.tiny import reviews, save_tiny_model
from tests.valkey import new_server

start = services.start

TRAIN, VALIDATION = reviews(320, seed=1), reviews(60, seed=2)
STEPS = 100
FILES = {"masks": "masks.safetensors", "packed": "model.packed"}

#: Trainers take long, and see no difference between databases in what such a test is about.
over_sqlite = pytest.mark.parametrize("stage", ["sqlite"], indirect=True, scope="module")


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def stage(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A broker, and a worker whose trainers have the real science, over each kind of database."""
    folder = tmp_path_factory.mktemp("stage")
    if request.param == "sqlite":
        empty = request.getfixturevalue("migrated_sqlite_file")
        database_url = f"sqlite:///{shutil.copy(empty, folder / 'secateur.db')}"
    else:
        server = request.getfixturevalue("postgres_server")
        database_url = server.url(server.create(template=request.getfixturevalue("migrated_postgres_template")))
    with new_server() as broker:
        made = Stage(database_url, broker, folder)
        made.worker(science=ROOT, ready=False, lease_s=60)
        made.reconciler(reconcile_s=1)
        yield made
        made.close()


@pytest.fixture(scope="module")
def client(stage: Stage, start: services.Start) -> Iterator[httpx.Client]:
    """A team's client of a service over the same database and broker."""
    url = start(database_url=stage.database_url, broker_url=stage.broker_url)
    with services.client_of(services.Served(url, stage.database_url)) as client:
        yield client


@dataclass(frozen=True)
class Done:
    """A job that has succeeded: what was asked for, what the service says, and where its files were downloaded to."""

    spec: dict[str, Any]
    job: dict[str, Any]
    folder: Path

    @property
    def report(self) -> dict[str, Any]:
        """Its report."""
        report: dict[str, Any] = json.loads((self.folder / "report.json").read_text())
        return report


@pytest.fixture(scope="module")
def done(client: httpx.Client, stage: Stage) -> Done:
    """A job that nothing disturbed, for all tests: trainers take seconds to start."""
    spec = {
        **upload(client, stage.folder),
        "method": "movement",
        "target_sparsity": 0.8,
        "training": {"max_steps": STEPS, "batch_size": 16, "learning_rate": 3e-3},
    }
    job = run(client, stage, spec)
    download(client, job, stage.folder / "out")
    return Done(spec, job, stage.folder / "out")


def test_a_model_goes_in_and_comes_out_pruned(client: httpx.Client, done: Done, tmp_path: Path) -> None:
    job, out, report = done.job, done.folder, done.report
    assert (job["status"], job["attempt"], job["error"]) == ("succeeded", 1, None), job
    assert (job["progress"]["step"], job["progress"]["total_steps"]) == (2 * STEPS, 2 * STEPS)
    model = AutoModelForSequenceClassification.from_pretrained(out / "model")
    tokenizer = AutoTokenizer.from_pretrained(out / "model")
    weights = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    masks = read_masks(out / "masks.safetensors")
    check_masks(masks, weights, target=0.8)
    check_densities(report["density"], masks, {name: p.numel() for name, p in model.named_parameters()})
    assert {row["name"]: (row["kept"], row["total"]) for row in report["layers"]} == {
        name: (int(mask.sum()), mask.size) for name, mask in masks.items()
    }

    answers = predict(model, tokenizer, VALIDATION["text"].to_pylist())
    right = [answer == label for answer, label in zip(answers, VALIDATION["label"].to_pylist(), strict=True)]
    assert report["eval"]["accuracy"] == pytest.approx(sum(right) / len(right), abs=1e-6)
    assert (report["data"]["train_rows"], report["data"]["eval_rows"]) == (320, 60)
    assert report["data"]["majority_share"] == 0.5
    files = [path.stat().st_size for path in (out / "model").iterdir()]
    sizes = {kind: (out / name).stat().st_size for kind, name in FILES.items()}
    assert job["result"]["bytes"] == report["bytes"] == {"dense": sum(files)} | sizes
    unpack(out / "model.packed", tmp_path / "unpacked")
    for path in (out / "model").iterdir():
        assert sha256_of(tmp_path / "unpacked" / path.name) == sha256_of(path)
    assert (report["lineage"]["job"], report["lineage"]["attempt"]) == (job["id"], 1)

    assert job["result"]["primary_metric"] == report["primary_metric"] == "accuracy"
    assert job["result"]["eval"] == report["eval"]
    assert job["result"]["dense_eval"] == report["dense_eval"]
    assert job["result"]["packed_eval"] == report["packed_eval"] == report["eval"]
    assert job["result"]["density"] == report["density"]
    Draft202012Validator(client.get("/v1/schemas/report").raise_for_status().json()).validate(report)
    assert report["comparison"]["rows"] == 60
    page = client.get(f"/v1/jobs/{job['id']}/artifacts/report.html")
    assert report["verdict"]["sentence"].split(":")[0] in page.text
    assert page.headers["content-security-policy"].startswith("sandbox; default-src 'none'")

    series = client.get(job["urls"]["metrics"]).json()["series"]
    assert [point[0] for point in series["train/loss"]] == list(range(1, STEPS + 1))
    assert [point[0] for point in series["dense/train/loss"]] == list(range(1, STEPS + 1))
    stage_events = [event["type"] for event in client.get(job["urls"]["events"]).json()]
    assert stage_events == ["submitted", "started", "succeeded"]


@over_sqlite
def test_what_came_out_goes_in_again_and_is_pruned_further(
    client: httpx.Client, stage: Stage, done: Done, tmp_path: Path
) -> None:
    pruned = upload_model(client, done.folder / "model")
    later = {
        **done.spec,
        "model": pruned,
        "target_sparsity": 0.9,
        "pruning": {"start_from_mask": True},
        "distillation": {"teacher": pruned},
    }
    download(client, run(client, stage, later), tmp_path)
    masks, further = read_masks(done.folder / "masks.safetensors"), read_masks(tmp_path / "masks.safetensors")
    assert sum(int(mask.sum()) for mask in further.values()) == round(0.1 * sum(mask.size for mask in masks.values()))
    for name, mask in masks.items():
        assert not (further[name] & ~mask).any(), "what was zero stays zero"


def test_a_killed_trainer_s_job_ends_as_if_nothing_had_happened(client: httpx.Client, stage: Stage, done: Done) -> None:
    # Done again from nothing but what the report says.
    submitted = client.post("/v1/jobs", json=done.report["job"])
    assert submitted.status_code == 202, submitted.text
    disturbed = submitted.json()["id"]
    until(lambda: stage.job(disturbed).step > 0, patience_s=60, told=lambda: stage.told(disturbed))
    [trainer] = stage.trainers()
    trainer.kill()
    stage.wait_for(disturbed, JobStatus.QUEUED)
    stage.no_backoff(disturbed)
    job = finished(client, f"/v1/jobs/{disturbed}", stage)
    assert (job["status"], job["attempt"]) == ("succeeded", 2), job
    stage.audit(disturbed)
    assert job["spec"] == done.job["spec"]
    assert job["result"]["eval"] == done.job["result"]["eval"]
    for name in ("masks.safetensors", "model/model.safetensors"):
        assert checksum(client, job, name) == checksum(client, done.job, name)


@over_sqlite
def test_a_cancelled_training_stops_and_leaves_nothing(client: httpx.Client, stage: Stage, tmp_path: Path) -> None:
    spec = {
        **upload(client, tmp_path),
        "method": "magnitude",
        "target_sparsity": 0.5,
        "training": {"max_steps": 100_000, "batch_size": 16},
    }
    path = client.post("/v1/jobs", json=spec).headers["location"]
    job_id = path.rpartition("/")[2]
    until(lambda: stage.job(job_id).step > 0, patience_s=60, told=lambda: stage.told(job_id))
    assert client.post(f"{path}/cancel").status_code == 202
    job = finished(client, path, stage)
    assert job["status"] == "cancelled"
    assert client.get(job["urls"]["artifacts"]).json()["data"] == []
    until(lambda: not stage.trainers())
    until(lambda: not list(stage.scratch.iterdir()))


def run(client: httpx.Client, stage: Stage, spec: Mapping[str, Any]) -> dict[str, Any]:
    """A job that succeeds."""
    submitted = client.post("/v1/jobs", json=spec)
    assert submitted.status_code == 202, submitted.text
    job = finished(client, submitted.headers["location"], stage)
    assert job["status"] == "succeeded", job
    return job


def checksum(client: httpx.Client, job: Mapping[str, Any], name: str) -> str:
    """The sha256 that the service names for a job's artifact."""
    [artifact] = [a for a in client.get(job["urls"]["artifacts"]).json()["data"] if a["name"] == name]
    return str(artifact["sha256"])


def upload(client: httpx.Client, folder: Path) -> dict[str, str]:
    """Upload the tiny model and the reviews; answer the spec's first two lines."""
    model = upload_model(client, save_tiny_model(folder / "tiny"))
    dataset = client.post(
        "/v1/datasets",
        data={"name": "reviews"},
        files={"train": ("train.csv", as_csv(TRAIN)), "validation": ("validation.csv", as_csv(VALIDATION))},
    )
    assert dataset.status_code == 201, dataset.text
    return {"model": model, "dataset": dataset.json()["uri"]}


def upload_model(client: httpx.Client, folder: Path) -> str:
    """Upload a model's directory; answer its uri."""
    files = [("files", (file.name, file.read_bytes())) for file in sorted(folder.iterdir())]
    model = client.post("/v1/models", data={"name": "tiny"}, files=files)
    assert model.status_code == 201, model.text
    uri: str = model.json()["uri"]
    return uri


def as_csv(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pyarrow.csv.write_csv(table, sink)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def finished(client: httpx.Client, path: str, stage: Stage) -> dict[str, Any]:
    """Poll a job until it has ended."""
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        job: dict[str, Any] = client.get(path).json()
        if job["finished_at"]:
            return job
        time.sleep(0.3)
    raise AssertionError(stage.told(job["id"]))


def download(client: httpx.Client, job: Mapping[str, Any], folder: Path) -> None:
    """Fetch every artifact."""
    for artifact in client.get(job["urls"]["artifacts"]).json()["data"]:
        path = folder / artifact["name"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(client.get(artifact["url"]).content)


def read_masks(path: Path) -> dict[str, NDArray[np.bool_]]:
    """The masks as the format's description says, without our own reader."""
    masks = {}
    with safe_open(path, framework="numpy") as file:
        shapes = json.loads(file.metadata()["shapes"])
        for name in file.keys():  # noqa: SIM118 - it is no dictionary
            count = int(np.prod(shapes[name]))
            bits = np.unpackbits(file.get_tensor(name), bitorder="little", count=count)
            masks[name] = bits.astype(np.bool_).reshape(shapes[name])
    return masks


def check_masks(
    masks: Mapping[str, NDArray[np.bool_]], weights: Mapping[str, NDArray[np.float32]], target: float
) -> None:
    """What the masks say is removed is zero in the file; six matrices in each of two layers, pruned to the target."""
    assert len(masks) == 12
    removed = total = 0
    for name, mask in masks.items():
        matrix = weights[f"bert.{name}.weight"]
        assert matrix.shape == mask.shape
        assert not matrix[~mask].any(), name
        assert (matrix[mask] != 0).mean() > 0.99, "what is kept has a value"
        removed += int((~mask).sum())
        total += mask.size
    assert removed == pytest.approx(target * total, abs=1)


def check_densities(
    said: Mapping[str, float], masks: Mapping[str, NDArray[np.bool_]], sizes: Mapping[str, int]
) -> None:
    """The three kept shares, each reckoned from the files alone."""
    removed = sum(int((~mask).sum()) for mask in masks.values())
    encoder = sum(size for name, size in sizes.items() if name.startswith("bert.encoder."))
    assert said == {
        "prunable": pytest.approx(1 - removed / sum(mask.size for mask in masks.values())),
        "encoder": pytest.approx(1 - removed / encoder),
        "model": pytest.approx(1 - removed / sum(sizes.values())),
    }


def predict(model: Any, tokenizer: Any, texts: list[str]) -> list[str]:
    """One text at a time, without padding: the plainest way to ask a model."""
    answers = []
    for text in texts:
        with torch.inference_mode():
            logits = model(**tokenizer(text, return_tensors="pt")).logits
        answers.append(model.config.id2label[int(logits.argmax())])
    return answers
