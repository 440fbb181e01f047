"""Every call that could change something is written down, with who, what and how it ended, and with nothing else."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.exc import OperationalError

from api.app import create_app
from store import Database, Settings
from tests.unit.api.calling import Api, pointers


def entries(api: Api, **filters: object) -> list[dict[str, Any]]:
    """What is written down, oldest first."""
    found: list[dict[str, Any]] = api.get("/v1/audit", params=filters).json()["data"]
    return found[::-1]


def told(api: Api, **filters: object) -> list[tuple[str, str, str | None, int]]:
    return [(each["method"], each["route"], each["target_id"], each["status"]) for each in entries(api, **filters)]


def test_a_jobs_story_is_told_in_order(api: Api, model: str, dataset: str) -> None:
    spec = {"model": model, "dataset": dataset, "method": "movement", "target_sparsity": 0.9}
    job_id = api.submit(spec).json()["id"]
    api.get(f"/v1/jobs/{job_id}")
    api.call("POST", "/v1/jobs:validate", json=spec)
    api.call("POST", f"/v1/jobs/{job_id}/cancel")
    api.call("POST", f"/v1/jobs/{job_id}/cancel")
    api.call("DELETE", f"/v1/jobs/{job_id}")
    uploads = [("POST", "/v1/models", model[9:], 201), ("POST", "/v1/datasets", dataset[9:], 201)]
    assert told(api) == [
        *uploads,
        ("POST", "/v1/jobs", job_id, 202),
        ("POST", "/v1/jobs/{job_id}/cancel", job_id, 202),
        ("POST", "/v1/jobs/{job_id}/cancel", job_id, 409),
        ("DELETE", "/v1/jobs/{job_id}", job_id, 204),
    ]
    assert told(api, target_id=job_id) == told(api)[2:]


def test_an_entry_says_who_when_and_which_request(api: Api) -> None:
    before = datetime.now(UTC) - timedelta(seconds=2)
    answer = api.call("POST", "/v1/keys", json={"name": "ci"}, headers={"X-Request-ID": "mine-7"})
    [entry] = entries(api)
    assert entry["id"].startswith("aud_")
    assert (entry["key_id"], entry["target_id"], entry["request_id"]) == (api.key_id, answer.json()["id"], "mine-7")
    assert before < datetime.fromisoformat(entry["at"]) < datetime.now(UTC) + timedelta(seconds=2)
    assert answer.json()["key"].split("_")[2] not in json.dumps(entry)


def test_what_was_refused_is_written_down_too(api: Api) -> None:
    api.submit({"secret": "hunter2"})
    api.call("POST", "/v1/jobs", content=b"{", headers={"Content-Type": "application/json"})
    api.call("POST", "/v1/jobs", content=b"{", headers={"Content-Type": "text/plain"})
    api.call("DELETE", f"/v1/jobs/job_{'0' * 32}")
    assert [status for *_, status in told(api)] == [422, 400, 415, 404]
    assert "hunter2" not in json.dumps(entries(api))


def test_what_can_be_no_id_is_not_written_down_and_its_call_is(api: Api) -> None:
    key = api.call("POST", "/v1/keys", json={"name": "ci"}).json()["key"]
    for pasted in (key, "%00", "a%0Ab", "x" * 3000):
        assert api.call("DELETE", f"/v1/keys/{pasted}").status_code == 404
    assert told(api)[1:] == [("DELETE", "/v1/keys/{key_id}", None, 404)] * 4


def test_who_may_not_is_written_down_and_who_is_nobody_is_not(api: Api) -> None:
    api.client.post("/v1/jobs", json={})
    reader = api.with_scopes("read")
    reader.submit({})
    assert [(entry["key_id"], entry["status"]) for entry in entries(api)] == [(reader.key_id, 403)]


def test_a_fault_of_ours_is_written_down(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def break_down(*_: object) -> None:
        raise RuntimeError("by a test")

    with monkeypatch.context() as broken:
        broken.setattr("api.jobs.service.resolve", break_down)
        assert api.submit({}).status_code == 500
    assert [status for *_, status in told(api)] == [500]


def test_it_is_read_by_key_and_from_a_time_on_and_by_page(api: Api) -> None:
    other = api.with_scopes("submit")
    for caller in (api, other, api):
        caller.submit({})
    assert [entry["key_id"] for entry in entries(api)] == [api.key_id, other.key_id, api.key_id]
    assert len(entries(api, key_id=other.key_id)) == 1
    newest = entries(api)[-1]
    assert newest in entries(api, since=newest["at"])
    assert entries(api, since=(datetime.now(UTC) + timedelta(minutes=1)).isoformat()) == []
    for since in ("2026-01-01T00:00:00", "2026-01-01", "0.5"):
        refused = api.get("/v1/audit", params={"since": since})
        assert (refused.status_code, pointers(refused)) == (422, {"/query/since"}), since
    first = api.get("/v1/audit?limit=2").json()
    rest = api.get(f"/v1/audit?limit=2&cursor={first['next_cursor']}").json()
    assert [entry["id"] for entry in first["data"] + rest["data"]] == [each["id"] for each in entries(api)][::-1]


def test_only_admins_read_it_and_of_their_team_only(api: Api) -> None:
    api.submit({})
    assert api.with_scopes("read", "submit").get("/v1/audit").status_code == 403
    assert api.as_other_team().get("/v1/audit", params={"key_id": api.key_id}).json()["data"] == []


def test_a_submit_and_its_entry_are_there_together_or_not_at_all(
    api: Api, model: str, dataset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = {"model": model, "dataset": dataset, "method": "movement", "target_sparsity": 0.9}

    def fail(*_: object) -> None:
        raise OperationalError("INSERT", {}, Exception("disk I/O error"))

    before = len(told(api))
    with monkeypatch.context() as broken:
        broken.setattr("api.submissions.record_calls", fail)
        assert api.submit(spec).status_code == 503
    assert api.get("/v1/jobs").json()["data"] == []
    assert [status for *_, status in told(api)[before:]] == [503], "that it was refused is written down as ever"
    job_id = api.submit(spec).json()["id"]
    assert told(api)[before + 1 :] == [("POST", "/v1/jobs", job_id, 202)], "and once"


@pytest.fixture
def hurried(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """A service whose answers wait for their entries hardly at all."""
    monkeypatch.setattr("api.audit.trail.PATIENCE_S", 0.2)
    with TestClient(create_app(settings)) as client:
        yield client


def test_an_entry_that_cannot_be_written_is_logged_and_the_answer_goes_out(
    api: Api, hurried: TestClient, database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    impatient = Api(hurried, database, api.team, api.headers["Authorization"].removeprefix("Bearer "))
    with database.write() as session:
        session.connection()  # from here on SQLite lets nobody else write
        assert impatient.submit({}).status_code == 422
    line = next(line for line in capsys.readouterr().err.splitlines() if "audit_entry_not_written" in line)
    assert json.loads(line)["route"] == "/v1/jobs"
    assert json.loads(line)["key_id"] == api.key_id
