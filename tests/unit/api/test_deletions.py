"""What is no longer needed is deleted, and nothing that somebody still needs."""

from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from api.jobs import service
from api.jobs.resolve import resolve
from store import Database, Job, delete_dataset, delete_model
from tests.unit.api.calling import Api, pointers
from tests.unit.api.conftest import new_team
from tests.unit.api.finishing import finish

MASKS = {"layer": np.ones((2, 4), dtype=np.bool_)}


@pytest.fixture
def spec(model: str, dataset: str) -> dict[str, Any]:
    """A spec before which no other job has its turn."""
    return {"model": model, "dataset": dataset, "method": "movement", "target_sparsity": 0.9, "priority": 1000}


def deleted(api: Api, path: str) -> int:
    return api.call("DELETE", path).status_code


def url(uri: str) -> str:
    kind = "models" if "mdl_" in uri else "datasets"
    return f"/v1/{kind}/{uri.removeprefix('upload://')}"


def test_a_job_that_has_ended_is_deleted_with_all_it_left(api: Api, spec: dict[str, Any]) -> None:
    before = api.stored()
    path = api.submit(spec, **{"Idempotency-Key": "once"}).headers["location"]
    early = api.call("DELETE", path)
    assert (early.status_code, "is queued and cannot be deleted: cancel it first" in early.text) == (409, True)
    assert finish(api.database, {"model/model.safetensors": b"x" * 100}, MASKS) == path
    assert deleted(api.as_other_team(), path) == 404
    answer = api.call("DELETE", path)
    assert (answer.status_code, answer.content) == (204, b"")
    for below in ("", "/events", "/metrics", "/artifacts", "/artifacts/report.json", "/logs", "/attempts", "/masks"):
        assert api.get(path + below).status_code == 404, below
    assert deleted(api, path) == 404
    now = api.stored()
    assert {name: now[name] for name in ("job", "event", "idempotency_key")} == {
        name: before[name] for name in ("job", "event", "idempotency_key")
    }
    again = api.submit(spec, **{"Idempotency-Key": "once"})
    assert again.status_code == 202, "its key is free again"
    api.call("POST", f"{again.headers['location']}/cancel")


def test_inputs_are_deleted_when_no_unfinished_job_uses_them(api: Api, spec: dict[str, Any]) -> None:
    path = api.submit(spec).headers["location"]
    for uri in (spec["model"], spec["dataset"]):
        refused = api.call("DELETE", url(uri))
        assert refused.status_code == 409
        assert path.rpartition("/")[2] in refused.json()["detail"]
        assert deleted(api.as_other_team(), url(uri)) == 404
    for _ in range(3):
        api.submit(spec)
    assert "and others." in api.call("DELETE", url(spec["model"])).json()["detail"]
    for job in api.get("/v1/jobs").json()["data"][:3]:
        api.call("POST", f"{job['urls']['self']}/cancel")
    api.call("POST", f"{path}/pause")
    assert deleted(api, url(spec["model"])) == 409, "a paused job goes on some day"
    api.call("POST", f"{path}/cancel")
    for uri in (spec["model"], spec["dataset"]):
        assert deleted(api, url(uri)) == 204
        assert api.get(url(uri)).status_code == 404
        assert deleted(api, url(uri)) == 404
    assert api.get(path).json()["spec"]["model"] == spec["model"], "the job stays"
    refused = api.call("POST", f"{path}/retry")
    assert refused.status_code == 409
    assert "deleted" in refused.json()["detail"]
    assert api.submit(spec).status_code == 422


def test_a_teacher_is_in_use_like_a_model(api: Api, spec: dict[str, Any]) -> None:
    path = api.submit(spec).headers["location"]
    teacher = api.upload_model_copy()
    with api.database.write() as session:  # what a submit stores; which teachers it takes is not the matter here
        job = session.get_one(Job, path.rpartition("/")[2])
        job.spec = {**job.spec, "distillation": {"teacher": teacher}}
    assert deleted(api, url(teacher)) == 409
    api.call("POST", f"{path}/cancel")
    assert deleted(api, url(teacher)) == 204
    refused = api.call("POST", f"{path}/retry")
    assert (refused.status_code, "the teacher of job" in refused.json()["detail"]) == (409, True)


def test_a_key_that_may_only_read_deletes_nothing(api: Api, spec: dict[str, Any]) -> None:
    path = api.submit(spec).headers["location"]
    api.call("POST", f"{path}/cancel")
    reader = api.with_scopes("read")
    for target in (path, url(spec["model"]), url(spec["dataset"])):
        assert deleted(reader, target) == 403
    assert deleted(api, path) == 204


def test_an_input_that_vanishes_during_a_submit_is_a_problem_of_its_field(
    api: Api, spec: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(*args: Any) -> Any:
        found = resolve(*args)
        monkeypatch.undo()
        assert deleted(api, url(spec["dataset"])) == 204  # between the check and the write
        return found

    monkeypatch.setattr(service, "resolve", slow)
    answer = api.submit(spec)
    assert answer.status_code == 422, answer.text
    assert pointers(answer) == {"/dataset"}


@pytest.mark.parametrize("kind", ["model", "dataset"])
def test_an_input_that_another_process_deleted_is_refused_though_it_is_known_here(
    api: Api, spec: dict[str, Any], kind: str
) -> None:
    cancelled = api.submit(spec)
    assert cancelled.status_code == 202
    api.call("POST", f"{cancelled.headers['location']}/cancel")
    with api.database.write() as session:  # as another process does
        delete = delete_model if kind == "model" else delete_dataset
        delete(session, api.team, spec[kind].removeprefix("upload://"))
    for _ in range(2):
        answer = api.submit(spec)
        assert answer.status_code == 422, answer.text
        assert pointers(answer) == {f"/{kind}"}
        assert pointers(api.call("POST", "/v1/jobs:validate", json=spec)) == {f"/{kind}"}
    assert [job["id"] for job in api.get("/v1/jobs").json()["data"]] == [cancelled.json()["id"]]


def test_what_one_team_has_used_is_not_there_for_another(
    api: Api, client: TestClient, database: Database, spec: dict[str, Any]
) -> None:
    assert api.submit(spec).status_code == 202
    stranger = new_team(client, database)
    assert pointers(stranger.submit(spec)) == {"/model", "/dataset"}
