"""A look at a job and a submit go a shorter way through the service, and whoever asks cannot tell."""

import json

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response  # what Starlette's client answers with

from api.app import create_app
from api.jobs.resolve import resolve
from api.jobs.shelf import NotAtHand, Shelf, at_hand
from store import Database, DatabaseBlobStore, JsonObject, Settings
from tests.unit.api.calling import Api
from tests.unit.api.conftest import new_team


def both_ways(api: Api, job: str, **headers: str) -> tuple[Response, Response]:
    """The answer by the short way, and by FastAPI's, which takes all that has parameters."""
    path = f"/v1/jobs/{job}"
    return api.get(path, headers=headers), api.get(f"{path}?wait=0", headers=headers)


def same(answers: tuple[Response, Response]) -> Response:
    """Either, if they are alike but for what names the request."""
    told = [{**answer.json(), "request_id": None} if answer.content else None for answer in answers]
    names = [sorted(set(answer.headers) - {"date", "x-request-id", "content-length"}) for answer in answers]
    assert told[0] == told[1]
    assert names[0] == names[1]
    assert answers[0].status_code == answers[1].status_code
    assert answers[0].headers.get("content-type") == answers[1].headers.get("content-type")
    return answers[0]


def test_both_ways_answer_alike(api: Api, client: TestClient, database: Database, model: str, dataset: str) -> None:
    job = api.submit({"model": model, "dataset": dataset, "method": "movement", "target_sparsity": 0.5}).json()["id"]
    shown = same(both_ways(api, job))
    assert (shown.status_code, shown.json()["id"]) == (200, job)
    assert same(both_ways(api, job, **{"If-None-Match": shown.headers["etag"]})).status_code == 304
    assert same(both_ways(api, "job_" + "0" * 32)).status_code == 404
    assert same(both_ways(api, job, Authorization="Bearer sec_no")).status_code == 401
    assert same(both_ways(api, job, Authorization="")).status_code == 401
    assert same(both_ways(new_team(client, database), job)).status_code == 404, "another team's"


def test_looks_are_counted_under_their_route(api: Api) -> None:
    def counted() -> float:
        wanted = 'secateur_http_requests_total{method="GET",route="/v1/jobs/{job_id}",status="404"} '
        lines = api.client.get("/metrics").text.splitlines()
        return next((float(line.removeprefix(wanted)) for line in lines if line.startswith(wanted)), 0.0)

    before = counted()
    both_ways(api, "job_" + "0" * 32)
    assert counted() == before + 2


def test_looks_are_limited_as_all_requests_are(settings: Settings, database: Database) -> None:
    limited = Settings(**{**settings.model_dump(), "rate_limit": "3/minute"})
    with TestClient(create_app(limited)) as client:
        api = new_team(client, database)
        answers = [api.get(f"/v1/jobs/job_{'0' * 32}") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [404, 404, 404, 429]
    assert all("ratelimit" in answer.headers for answer in answers)


# ── Submits ──────────────────────────────────────────────────────────────────


@pytest.fixture
def spec(model: str, dataset: str) -> dict[str, object]:
    """A good one."""
    return {"model": model, "dataset": dataset, "method": "movement", "target_sparsity": 0.5}


def submitted_both_ways(api: Api, body: bytes, **headers: str) -> tuple[Response, Response]:
    """The answer by the short way, and by FastAPI's, which takes what has parameters, also those that nobody knows."""
    given = {"Content-Type": "application/json", **headers}
    short, long = (api.call("POST", path, content=body, headers=given) for path in ("/v1/jobs", "/v1/jobs?x=1"))
    return short, long


def alike(answers: tuple[Response, Response]) -> Response:
    """Either, if they are alike but for the ids and times of the jobs."""
    for answer in answers:
        assert sorted(answer.headers) == sorted(answers[0].headers)
    told = [answer.json() for answer in answers]
    for each in told:
        for name in ("id", "created_at", "urls", "queue_position", "progress", "request_id"):
            each.pop(name, None)
    assert told[0] == told[1]
    assert answers[0].status_code == answers[1].status_code
    return answers[0]


def test_submits_are_answered_alike(api: Api, client: TestClient, database: Database, spec: dict[str, object]) -> None:
    body = json.dumps(spec).encode()
    for _ in range(2):  # the second time, model and dataset are on the shelf
        short, long = submitted_both_ways(api, body)
        assert alike((short, long)).status_code == 202
        assert short.headers["location"] == f"/v1/jobs/{short.json()['id']}"
        assert short.json()["id"] != long.json()["id"]
    assert alike(submitted_both_ways(new_team(client, database), body)).status_code == 422, "another team's model"
    [entry] = api.get("/v1/audit", params={"target_id": short.json()["id"]}).json()["data"]
    assert (entry["route"], entry["method"], entry["status"]) == ("/v1/jobs", "POST", 202)


@pytest.mark.parametrize(
    ("change", "headers", "status"),
    [
        ({"target_sparsity": 1.5}, {}, 422),
        ({"webhook": "https://nobody.example/"}, {}, 422),
        ({"distillation": {"teacher": "upload://mdl_" + "0" * 32}}, {}, 422),
        ({"model": "upload://mdl_" + "0" * 32}, {}, 422),
        ({"pruning": {"start_from_mask": True}}, {}, 202),
        ({"training": {"gpus": 2}}, {}, 202),
        ({}, {"Idempotency-Key": ""}, 422),
        ({}, {"Idempotency-Key": "k" * 256}, 422),
        ({}, {"Content-Type": "text/plain"}, 415),
        ({}, {"Content-Type": "application/json; charset=latin-1"}, 415),
        ({}, {"Content-Encoding": "gzip"}, 415),
        ({}, {"Authorization": "Bearer sec_no"}, 401),
        ({}, {"Authorization": ""}, 401),
    ],
)  # fmt: skip
def test_what_needs_more_than_the_shelf_and_what_is_wrong_is_answered_alike(
    api: Api, spec: dict[str, object], change: dict[str, object], headers: dict[str, str], status: int
) -> None:
    assert api.submit(spec).status_code == 202  # now they are on the shelf
    body = json.dumps({**spec, **change}).encode()
    assert alike(submitted_both_ways(api, body, **headers)).status_code == status


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"a": "\\u0000"}', b"\xff", b"{}", b'{"a": 1, "a": 2}'])
def test_bodies_that_are_no_specs_are_answered_alike(api: Api, body: bytes) -> None:
    assert alike(submitted_both_ways(api, body)).status_code in (400, 422)


def test_a_submit_with_a_key_is_one_job_by_either_way(api: Api, spec: dict[str, object]) -> None:
    short, long = submitted_both_ways(api, json.dumps(spec).encode(), **{"Idempotency-Key": "k"})
    assert short.json()["id"] == long.json()["id"]


def test_columns_are_not_made_where_others_wait(model: str, dataset: str, api: Api) -> None:
    """Hundreds of columns of a thousand values each take longer than requests may be kept waiting."""
    shelf = Shelf(DatabaseBlobStore(api.database))
    spec: JsonObject = {"model": model, "dataset": dataset, "method": "movement", "target_sparsity": 0.5}
    with api.database.read() as session:
        shelf.model(lambda: session, api.team, model.removeprefix("upload://"))
        shelf.dataset(lambda: session, api.team, dataset.removeprefix("upload://"))
        with pytest.raises(NotAtHand):
            resolve(at_hand, api.team, spec, shelf)
        resolve(lambda: session, api.team, spec, shelf)
    for change in ({}, {"task": {"text": "text", "label": "label"}}, {"splits": {"eval": None}}):
        resolve(at_hand, api.team, {**spec, **change}, shelf)
