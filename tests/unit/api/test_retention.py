"""Pinned jobs, and jobs whose files retention has removed, over HTTP."""

import numpy as np
import pytest

from store import Scope, create_key, expire_files
from tests.unit.api.calling import Api
from tests.unit.api.finishing import finish

LAYER = "encoder.layer.0.output.dense"


@pytest.fixture
def job(api: Api, model: str, dataset: str) -> str:
    """The path of a job that has succeeded."""
    # before whatever other tests have left in the queue
    spec = {"model": model, "dataset": dataset, "method": "movement", "target_sparsity": 0.9, "priority": 1000}
    assert api.submit(spec).status_code == 202
    return finish(api.database, {"report.json": b"{}"}, {LAYER: np.eye(4, dtype=np.bool_)})


def expire(api: Api, job: str) -> bool:
    """Remove the job's files, as the reconciler would."""
    with api.database.write() as session:
        return expire_files(session, job.rpartition("/")[2])


def test_a_pin_shows_and_repeats(api: Api, job: str) -> None:
    before = api.get(job)
    assert (before.json()["pinned"], before.json()["files_expired_at"]) == (False, None)
    for _ in range(2):
        answer = api.call("POST", f"{job}/pin")
        assert (answer.status_code, answer.json()["pinned"]) == (200, True)
    after = api.get(job, headers={"If-None-Match": before.headers["etag"]})
    assert (after.status_code, after.json()["pinned"]) == (200, True)
    for _ in range(2):
        answer = api.call("POST", f"{job}/unpin")
        assert (answer.status_code, answer.json()) == (200, before.json())


def test_a_pin_needs_the_scope_of_a_submit(api: Api, job: str) -> None:
    with api.database.write() as session:
        _, key = create_key(session, api.team, "looks", [Scope.READ])
    reader = Api(api.client, api.database, api.team, key)
    assert reader.call("POST", f"{job}/pin").status_code == 403
    assert api.get(job).json()["pinned"] is False


def test_the_list_takes_pinned_jobs_or_the_others(api: Api, job: str, model: str, dataset: str) -> None:
    spec = {"model": model, "dataset": dataset, "method": "movement", "target_sparsity": 0.9}
    other = api.submit(spec).json()["id"]
    api.call("POST", f"{job}/pin")

    def listed(pinned: str) -> list[str]:
        return [each["id"] for each in api.get("/v1/jobs", params={"pinned": pinned}).json()["data"]]

    assert listed("true") == [job.rpartition("/")[2]]
    assert listed("false") == [other]
    assert api.get("/v1/jobs?pinned=perhaps").status_code == 422


def test_files_that_retention_removed_are_gone_and_the_figures_are_not(api: Api, job: str) -> None:
    before = api.get(job).json()
    table = api.get(f"{job}/masks").json()
    assert expire(api, job)
    after = api.get(job).json()
    assert after["files_expired_at"] is not None
    assert after == {**before, "files_expired_at": after["files_expired_at"]}
    assert api.get(f"{job}/artifacts").json() == {"data": []}
    assert api.get(f"{job}/masks").json() == table
    for path in ("artifacts/report.json", f"masks?layer={LAYER}"):
        answer = api.get(f"{job}/{path}")
        assert (answer.status_code, answer.headers["content-type"]) == (410, "application/problem+json"), path
        problem = answer.json()
        assert problem["type"] == "urn:secateur:problem:expired"
        assert "retention" in problem["detail"]
        assert after["files_expired_at"][:19] in problem["detail"], "it says when"
    assert api.call("HEAD", f"{job}/artifacts/report.json").status_code == 410
    assert api.as_other_team().get(f"{job}/artifacts/report.json").status_code == 404


def test_a_pinned_jobs_files_stay(api: Api, job: str) -> None:
    api.call("POST", f"{job}/pin")
    assert not expire(api, job)
    assert api.get(f"{job}/artifacts/report.json").content == b"{}"
