"""Pause, resume, retry, attempts and logs over HTTP."""

from typing import Any

import pytest

from store import JobError, claim_next, finish_failed, keep_log
from store.tables import Team
from tests.unit.api.calling import Api, pointers
from tests.unit.api.scheduling import leave_the_line_to_us


@pytest.fixture
def path(api: Api, model: str, dataset: str) -> str:
    """The path of a job that waits, before every other one."""
    leave_the_line_to_us(api)
    spec: dict[str, Any] = {"model": model, "dataset": dataset, "method": "movement", "target_sparsity": 0.9}
    return api.submit({**spec, "priority": 1000}).headers["location"]


def fail(api: Api) -> None:
    """Let a worker begin the job, print something, and fail."""
    with api.database.write() as session:
        claim = claim_next(session, "default", "worker-1", lease_s=60.0)
    assert claim is not None
    with api.database.write() as session:
        keep_log(session, claim.fence, "one\ntwo\nthree\n", 14)
        finish_failed(session, claim.fence, JobError("data_error", "Row 7 has no label.", "three"))


def test_a_waiting_job_is_paused_and_goes_on(api: Api, path: str) -> None:
    assert api.call("POST", f"{path}/pause").json()["status"] == "paused"
    assert api.call("POST", f"{path}/retry").status_code == 409
    answer = api.call("POST", f"{path}/resume")
    assert (answer.status_code, answer.json()["status"]) == (202, "queued")
    types = [event["type"] for event in api.get(f"{path}/events").json()]
    assert types == ["submitted", "paused", "resumed"]
    api.call("POST", f"{path}/cancel")


def test_a_failed_job_is_tried_again_as_another(api: Api, path: str) -> None:
    fail(api)
    refused = api.call("POST", f"{path}/pause")
    assert (refused.status_code, refused.headers["content-type"]) == (409, "application/problem+json")
    answer = api.call("POST", f"{path}/retry")
    again = answer.json()
    assert answer.status_code == 202
    assert answer.headers["location"] == again["urls"]["self"] != path
    assert (again["status"], again["retry_of"]) == ("queued", path.rpartition("/")[2])
    assert again["spec"] == api.get(path).json()["spec"]
    assert api.get(path).json()["status"] == "failed"
    api.call("POST", f"{again['urls']['self']}/cancel")


def test_trying_again_counts_as_a_submit(api: Api, path: str) -> None:
    api.call("POST", f"{path}/cancel")
    with api.database.write() as session:
        session.get_one(Team, api.team).max_queued = 2
    tried = [api.call("POST", f"{path}/retry") for _ in range(3)]
    assert [answer.status_code for answer in tried] == [202, 202, 429]
    for answer in tried[:2]:
        api.call("POST", f"{answer.headers['location']}/cancel")


def test_the_same_key_tries_again_once(api: Api, path: str) -> None:
    api.call("POST", f"{path}/cancel")
    keys = {"Idempotency-Key": "again"}
    first, second = (api.call("POST", f"{path}/retry", headers=keys) for _ in range(2))
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json()["id"] == second.json()["id"]
    api.call("POST", f"{first.headers['location']}/cancel")
    other = api.call("POST", f"{first.headers['location']}/retry", headers=keys)
    assert (other.status_code, pointers(other)) == (422, {"/header/Idempotency-Key"})


def test_who_worked_on_it_and_what_was_printed(api: Api, path: str) -> None:
    assert api.get(f"{path}/attempts").json() == {"data": []}
    assert api.get(f"{path}/logs").json() == {"data": []}
    fail(api)
    [attempt] = api.get(f"{path}/attempts").json()["data"]
    assert (attempt["attempt"], attempt["worker"], attempt["outcome"]) == (1, "worker-1", "failed")
    assert attempt["error"] == {"code": "data_error", "detail": "Row 7 has no label.", "log_tail": "three"}
    [log] = api.get(f"{path}/logs?tail=2").json()["data"]
    assert (log["attempt"], log["text"], log["printed"]) == (1, "two\nthree\n", 14)
    assert api.get(f"{path}/logs?attempt=2").json() == {"data": []}
    assert api.get(f"{path}/logs?tail=0").status_code == 422


@pytest.mark.parametrize(
    ("method", "what"),
    [
        ("POST", "pause"),
        ("POST", "resume"),
        ("POST", "retry"),
        ("POST", "pin"),
        ("POST", "unpin"),
        ("GET", "attempts"),
        ("GET", "logs"),
    ],
)
def test_another_teams_job_is_not_there(api: Api, method: str, what: str) -> None:
    answer = api.call(method, f"/v1/jobs/job_{'0' * 32}/{what}")
    assert answer.status_code == 404
