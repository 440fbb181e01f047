"""A job for several GPUs: refused where it makes no sense, and told where no worker could run it."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import delete

from store import Job, announce_worker
from store.tables import Worker
from tests.unit.api.calling import Api

WORDS = "waits until a worker comes that offers as many"


@pytest.fixture
def spec(model: str, dataset: str) -> dict[str, Any]:
    return {"model": model, "dataset": dataset, "method": "movement", "target_sparsity": 0.9}


@pytest.fixture(autouse=True)
def _no_workers(api: Api) -> Iterator[None]:
    yield
    with api.database.write() as session:
        session.execute(delete(Worker))


def warnings(api: Api, spec: dict[str, Any], gpus: int) -> str:
    """What a submit is told, which is what a validation says."""
    asked = {**spec, "training": {"gpus": gpus}}
    submitted = api.submit(asked)
    assert submitted.status_code == 202, submitted.text
    validated = api.call("POST", "/v1/jobs:validate", json=asked).json()
    assert validated["warnings"] == submitted.json()["warnings"]
    assert submitted.json()["spec"]["training"]["gpus"] == gpus
    with api.database.read() as session:
        assert session.get_one(Job, submitted.json()["id"]).gpus == gpus
    return " ".join(validated["warnings"])


def test_a_job_that_no_worker_could_run_is_told_so(api: Api, spec: dict[str, Any]) -> None:
    assert f"training.gpus is 2, and the last hour saw no worker at all: the job {WORDS}" in warnings(api, spec, 2)
    with api.database.write() as session:
        announce_worker(session, "w", 2)
    assert WORDS not in warnings(api, spec, 2)
    assert "at most 2 on one worker" in warnings(api, spec, 3)


def test_a_job_for_one_device_is_any_worker_s(api: Api, spec: dict[str, Any]) -> None:
    assert WORDS not in warnings(api, spec, 1)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"training": {"gpus": 65}}, "training.gpus"),
        ({"training": {"gpus": 0}}, "training.gpus"),
        ({"training": {"gpus": 8, "batch_size": 4}}, "Lower gpus, or raise batch_size."),
        ({"method": "wanda", "training": {"gpus": 2}}, "the job trains nothing. Leave it out."),
    ],
)
def test_more_than_can_be_is_refused_by_name(
    api: Api, spec: dict[str, Any], changes: dict[str, Any], words: str
) -> None:
    refused = api.submit({**spec, **changes})
    assert refused.status_code == 422
    [told] = [error["detail"] for error in refused.json()["errors"] if error["pointer"] == "/training/gpus"]
    assert words in told
