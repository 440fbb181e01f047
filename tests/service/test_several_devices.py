"""Jobs on two devices through the real service: two processes that train as one, whatever is done to either."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from sqlalchemy import select

from pruning_core import PruningSpec, prune
from store import JobStatus
from store.states import TERMINAL
from store.tables import Worker
from tests.service.api import conftest as services
from tests.service.test_end_to_end import TRAIN, VALIDATION, checksum, download, read_masks, upload
from tests.service.worker.running import Running, command_of, lives, until
from tests.service.worker.stage import ROOT, Stage
from tests.valkey import new_server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

start = services.start

FILES = ("masks.safetensors", "model/model.safetensors")
#: A machine may be busy, and each trainer takes seconds to start.
PATIENCE_S = 400.0


def two_parts(stage: Stage, *, ready: bool) -> Running:
    """Start a worker that offers its CPU in two parts."""
    return stage.worker(science=ROOT, ready=ready, lease_s=60, stop_grace_s=60, worker_gpus="cpu:2", checkpoint_steps=5)


@pytest.fixture
def stage(sqlite_url: str, tmp_path: Path) -> Iterator[Stage]:
    """With such a worker."""
    with new_server() as broker:
        made = Stage(sqlite_url, broker, tmp_path)
        two_parts(made, ready=False)
        made.reconciler(reconcile_s=1)
        yield made
        made.close()


@pytest.fixture
def client(stage: Stage, start: services.Start) -> Iterator[httpx.Client]:
    url = start(database_url=stage.database_url, broker_url=stage.broker_url)
    with services.client_of(services.Served(url, stage.database_url)) as client:
        yield client


def offers(stage: Stage) -> dict[str, int]:
    with stage.database.read() as session:
        return {worker.name: worker.gpus for worker in session.scalars(select(Worker))}


def submit(client: httpx.Client, spec: dict[str, Any]) -> str:
    answer = client.post("/v1/jobs", json=spec)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def finished(client: httpx.Client, stage: Stage, job_id: str) -> dict[str, Any]:
    until(lambda: stage.job(job_id).status in TERMINAL, PATIENCE_S, lambda: stage.told(job_id), every_s=0.3)
    job: dict[str, Any] = client.get(f"/v1/jobs/{job_id}").json()
    return job


def peer_of(stage: Stage, job_id: str, past: int = 5) -> psutil.Process:
    """The second process of the job that runs, once it is past a step."""
    until(lambda: stage.job(job_id).step > past, PATIENCE_S, lambda: stage.told(job_id), every_s=0.1)
    [trainer] = stage.trainers()
    [peer] = [each for each in trainer.children() if "pruning_core.peer" in command_of(each)]
    return peer


def test_two_devices_train_one_job_whatever_is_done_to_either(
    client: httpx.Client, stage: Stage, tmp_path: Path
) -> None:
    until(lambda: offers(stage) == {"worker-0": 2}, PATIENCE_S)
    training = {
        "max_steps": 40,
        "batch_size": 16,
        "max_length": 64,
        "gradient_accumulation": 2,
        "learning_rate": 3e-3,
        "dense_baseline": False,
        "gpus": 2,
    }
    spec = {**upload(client, tmp_path), "method": "movement", "target_sparsity": 0.9, "training": training}

    undisturbed = finished(client, stage, submit(client, spec))
    assert (undisturbed["status"], undisturbed["attempt"]) == ("succeeded", 1)
    assert [warning.partition(" a model")[0] for warning in undisturbed["warnings"]] == ["In 40 steps"] * 2
    download(client, undisturbed, tmp_path / "two")
    told = {name: value for name, value in undisturbed["spec"].items() if name in PruningSpec.model_fields}
    on_one = PruningSpec.model_validate({**told, "training": {**training, "gpus": 1}})
    prune(tmp_path / "tiny", TRAIN, on_one, tmp_path / "one", evaluation=VALIDATION)
    two, one = (read_masks(tmp_path / name / "masks.safetensors") for name in ("two", "one"))
    weights = sum(mask.size for mask in one.values())
    assert sum(int((one[name] != two[name]).sum()) for name in one) <= 0.005 * weights, "the same up to rounding"

    killed = submit(client, spec)
    peer_of(stage, killed).kill()
    stage.wait_for(killed, JobStatus.QUEUED, PATIENCE_S)
    assert "SIGKILL" in str(stage.attempts(killed)[0].detail)
    stage.no_backoff(killed)
    until(lambda: stage.is_training(killed, attempt=2), PATIENCE_S, lambda: stage.told(killed))
    peer = peer_of(stage, killed)
    [trainer] = stage.trainers()
    trainer.kill()
    until(lambda: not lives(peer))
    stage.wait_for(killed, JobStatus.QUEUED, PATIENCE_S)
    stage.no_backoff(killed)
    job = finished(client, stage, killed)
    assert (job["status"], stage.outcomes(killed)) == ("succeeded", ["lost", "lost", "succeeded"]), job
    assert "device 2 of 2 was ended by signal 9" in client.get(job["urls"]["logs"]).text
    for name in FILES:
        assert checksum(client, job, name) == checksum(client, undisturbed, name)

    paused = submit(client, spec)
    peer = peer_of(stage, paused)
    peer.suspend()
    time.sleep(2.0)  # what was done already may still have to be written
    stood = stage.job(paused).step
    time.sleep(2.0)
    assert stage.job(paused).step == stood, "neither goes on without the other"
    peer.resume()
    client.post(f"/v1/jobs/{paused}/pause").raise_for_status()
    stage.wait_for(paused, JobStatus.PAUSED, PATIENCE_S)
    until(lambda: not lives(peer))
    client.post(f"/v1/jobs/{paused}/resume").raise_for_status()
    job = finished(client, stage, paused)
    assert job["status"] == "succeeded"
    for name in FILES:
        assert checksum(client, job, name) == checksum(client, undisturbed, name)
    for each in (killed, paused):
        stage.audit(each)


def test_the_others_end_with_a_job_that_is_put_down_and_with_one_that_is_cancelled(
    client: httpx.Client, stage: Stage, tmp_path: Path
) -> None:
    training = {"max_steps": 100_000, "batch_size": 16, "max_length": 64, "dense_baseline": False, "gpus": 2}
    spec = {**upload(client, tmp_path), "method": "magnitude", "target_sparsity": 0.5, "training": training}
    job_id = submit(client, spec)
    first = peer_of(stage, job_id)
    [worker] = (each for each in stage.running if each.trainers())
    worker.signal(signal.SIGTERM)
    assert worker.ends(within_s=60.0) == 0
    assert not lives(first)
    put_down = stage.job(job_id)
    assert (put_down.status, stage.outcomes(job_id)) == (JobStatus.QUEUED, ["preempted"])
    two_parts(stage, ready=True)
    stage.ring("default")
    second = peer_of(stage, job_id, past=put_down.step)
    client.post(f"/v1/jobs/{job_id}/cancel").raise_for_status()
    assert finished(client, stage, job_id)["status"] == "cancelled"
    until(lambda: not lives(second))
    assert stage.outcomes(job_id) == ["preempted", "cancelled"]
    stage.audit(job_id)
