"""Jobs over HTTP: submitted once, listed, polled cheaply, cancelled."""

import gc
from typing import Any

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response

from api.app import create_app
from pruning_core.methods import METHODS
from store import Settings
from tests.unit.api.calling import Api, pointers


@pytest.fixture
def spec(model: str, dataset: str) -> dict[str, Any]:
    return {"model": model, "dataset": dataset, "method": "movement", "target_sparsity": 0.9}


def test_a_submit_answers_202_with_the_job_and_its_address(api: Api, spec: dict[str, Any]) -> None:
    answer = api.submit({**spec, "name": "first", "tags": {"suite": "nightly"}, "priority": 5})
    job = answer.json()
    assert answer.status_code == 202
    assert answer.headers["location"] == f"/v1/jobs/{job['id']}" == job["urls"]["self"]
    assert (job["name"], job["tags"], job["priority"]) == ("first", {"suite": "nightly"}, 5)
    assert api.get(answer.headers["location"]).json() == job


def test_the_same_key_and_body_answer_the_first_job(api: Api, spec: dict[str, Any]) -> None:
    first = api.submit(spec, **{"Idempotency-Key": "k1"})
    again = api.submit(dict(reversed(spec.items())), **{"Idempotency-Key": "k1"})
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json()["id"] == again.json()["id"], "the order of fields says nothing"
    other = api.submit({**spec, "priority": 1}, **{"Idempotency-Key": "k1"})
    assert other.status_code == 422
    assert pointers(other) == {"/header/Idempotency-Key"}
    assert len(api.get("/v1/jobs").json()["data"]) == 1


def test_a_spec_that_was_answered_can_be_sent_back(api: Api, spec: dict[str, Any]) -> None:
    first = api.submit(spec).json()
    again = api.submit(first["spec"])
    assert (again.status_code, again.json()["spec"]) == (202, first["spec"])
    assert api.call("POST", "/v1/jobs:validate", json=first["spec"]).json()["spec"] == first["spec"]


@pytest.mark.parametrize(("name", "other"), [("labels", ["a", "b"]), ("holdout", 0.2), ("total_steps", "many")])
def test_what_follows_from_the_rest_cannot_be_chosen(api: Api, spec: dict[str, Any], name: str, other: object) -> None:
    refused = api.submit({**api.submit(spec).json()["spec"], name: other})
    assert (refused.status_code, pointers(refused)) == (422, {f"/{name}"})
    assert "Leave it out" in refused.text


def test_a_wrong_header_is_told_once_and_by_its_name(api: Api, spec: dict[str, Any]) -> None:
    refused = api.submit(spec, **{"Idempotency-Key": "k" * 300})
    assert [error["pointer"] for error in refused.json()["errors"]] == ["/header/Idempotency-Key"]


def test_whole_numbers_may_be_written_with_a_point(api: Api, spec: dict[str, Any]) -> None:
    whole = api.submit({**spec, "priority": 3}, **{"Idempotency-Key": "whole"})
    pointed = api.submit({**spec, "priority": 3.0}, **{"Idempotency-Key": "whole"})
    assert pointed.status_code == 202, pointed.text
    assert (pointed.json()["id"], pointed.json()["priority"]) == (whole.json()["id"], 3)
    assert pointers(api.submit({**spec, "priority": 3.5})) == {"/priority"}


def test_a_poll_of_an_unchanged_job_is_a_304(api: Api, spec: dict[str, Any]) -> None:
    path = api.submit(spec).headers["location"]
    etag = api.get(path).headers["etag"]
    same = api.get(path, headers={"If-None-Match": etag})
    assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", etag)
    api.call("POST", f"{path}/cancel")
    assert api.get(path, headers={"If-None-Match": etag}).status_code == 200


def test_a_look_without_parameters_is_answered_as_one_with_them(api: Api, spec: dict[str, Any]) -> None:
    """The first goes a shorter way."""
    path = api.submit(spec).headers["location"]
    outsiders: list[dict[str, str]] = [{"Authorization": ""}, {"Authorization": "Bearer sec_wrong"}]
    outsiders += [api.as_other_team().headers, api.with_scopes("submit").headers]
    for headers in [{}, {"If-None-Match": "*"}, *outsiders]:
        for place in (path, "/v1/jobs/job_no", f"/v1/jobs/ds_{'0' * 32}", f"/v1/jobs/job_{'0' * 32}"):
            short, long = (api.get(each, headers=headers) for each in (place, f"{place}?wait=0"))
            assert short.status_code == long.status_code
            assert _without_id(short) == _without_id(long)
    assert [api.get(path, headers=headers).status_code for headers in outsiders] == [401, 401, 404, 403]


def _without_id(answer: Response) -> tuple[object, dict[str, str]]:
    said = {name: value for name, value in answer.headers.items() if name not in ("x-request-id", "content-length")}
    content = answer.json() if answer.content else {}
    return {name: value for name, value in content.items() if name != "request_id"}, said


def test_what_there_is_when_the_service_starts_is_no_garbage_until_it_ends() -> None:
    gc.unfreeze()
    with TestClient(create_app(Settings(database_url="sqlite://"))) as client:
        assert client.get("/healthz").status_code == 200
        assert gc.get_freeze_count() > 100_000, "the libraries' own objects"
    assert gc.get_freeze_count() == 0


def test_a_waiting_job_is_cancelled_at_once_and_a_second_time_harmlessly(api: Api, spec: dict[str, Any]) -> None:
    path = api.submit(spec).headers["location"]
    answer = api.call("POST", f"{path}/cancel")
    assert (answer.status_code, answer.json()["status"]) == (202, "cancelled")
    events = api.get(f"{path}/events").json()
    assert [(event["seq"], event["type"]) for event in events] == [(1, "submitted"), (2, "cancelled")]
    assert [event["seq"] for event in api.get(f"{path}/events?after=1").json()] == [2]


def test_jobs_are_filtered_and_paged(api: Api, spec: dict[str, Any]) -> None:
    ids = [
        api.submit({**spec, "name": f"run {number}", "tags": {"n": str(number)}}).json()["id"] for number in range(3)
    ]
    page = api.get("/v1/jobs?limit=2").json()
    assert [job["id"] for job in page["data"]] == [ids[2], ids[1]]
    assert page["has_more"] is True
    rest = api.get("/v1/jobs", params={"limit": 2, "cursor": page["next_cursor"]}).json()
    assert ([job["id"] for job in rest["data"]], rest["has_more"], rest["next_cursor"]) == ([ids[0]], False, None)
    assert [job["id"] for job in api.get("/v1/jobs?tag=n:1").json()["data"]] == [ids[1]]
    assert [job["id"] for job in api.get("/v1/jobs?q=RUN 0").json()["data"]] == [ids[0]]
    assert [job["id"] for job in api.get("/v1/jobs?sort=created_at").json()["data"]] == ids
    assert api.get("/v1/jobs?tag=n:1&tag=n:0").json()["data"] == []
    [problem] = api.get("/v1/jobs?tag=n").json()["errors"]
    assert problem["detail"] == 'tag.0: give it as key:value, not "n".'
    assert [job["id"] for job in api.get("/v1/jobs?sort=-name").json()["data"]] == ids[::-1]
    assert api.get("/v1/jobs?status=running").json()["data"] == []
    assert len(api.get("/v1/jobs?status=running&status=queued").json()["data"]) == 3
    assert api.get("/v1/jobs?method=magnitude").json()["data"] == []
    assert len(api.get("/v1/jobs?q=REVIEWS").json()["data"]) == 3, "that is their dataset's name"
    cursor = api.get("/v1/jobs?limit=1&sort=-name").json()["next_cursor"]
    for other in ({"sort": "name"}, {"sort": "-name", "q": "run"}, {}):
        assert pointers(api.get("/v1/jobs", params={"cursor": cursor, **other})) == {"/query/cursor"}


@pytest.mark.parametrize("other", ["datasets", "models", "sweeps", "keys", "audit", "webhooks"])
def test_a_cursor_of_another_list_is_refused(api: Api, model: str, dataset: str, other: str) -> None:
    for _ in range(2):
        api.submit({"model": model, "dataset": dataset, "method": "movement", "target_sparsity": 0.5})
    cursor = api.get("/v1/jobs?limit=1").json()["next_cursor"]
    assert api.get(f"/v1/jobs?cursor={cursor}").status_code == 200
    assert pointers(api.get(f"/v1/{other}", params={"cursor": cursor})) == {"/query/cursor"}


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("status=running&status=done", "/query/status/1"),
        ("limit=0", "/query/limit"),
        ("limit=99999999999999999999999", "/query/limit"),
        ("sort=spec", "/query/sort"),
        ("cursor=nonsense", "/query/cursor"),
        ("tag=nocolon", "/query/tag/0"),
        ("q=%00", "/query/q"),
        ("tag=k:%00", "/query/tag/0"),
    ],
)
def test_a_wrong_query_parameter_is_named(api: Api, query: str, pointer: str) -> None:
    answer = api.get(f"/v1/jobs?{query}")
    assert answer.status_code == 422
    assert pointers(answer) == {pointer}


def test_what_a_tag_looks_like_is_in_the_openapi(api: Api) -> None:
    parameters = api.get("/openapi.json").json()["paths"]["/v1/jobs"]["get"]["parameters"]
    [tag] = [each["schema"]["items"] for each in parameters if each["name"] == "tag"]
    assert tag == {"type": "string", "maxLength": 400, "pattern": r"^[^:\x00]{1,64}:[^\x00]*$"}


def test_a_new_job_has_no_measurements_masks_or_files(api: Api, spec: dict[str, Any]) -> None:
    path = api.submit(spec).headers["location"]
    assert api.get(f"{path}/metrics").json() == {"series": {}}
    assert api.get(f"{path}/masks").json() == {"data": [], "picture": None}
    assert api.get(f"{path}/artifacts").json() == {"data": []}
    assert pointers(api.get(f"{path}/masks?layer=x")) == {"/query/layer"}
    assert api.get(f"{path}/artifacts/model/config.json").status_code == 404
    assert api.get(f"{path}/artifacts/%00").status_code == 404


def test_methods_are_listed_with_their_parameters(api: Api) -> None:
    methods = {method["name"]: method for method in api.get("/v1/methods").json()["data"]}
    assert set(methods) == set(METHODS)
    assert methods["movement"]["parameters"]["score_penalty"]["default"] is None
    assert (methods["magnitude"]["order"], methods["magnitude"]["works_untrained"]) == (0, True)
    assert methods["head"]["granularities"] == ["head"]
    defaults = {name: (method["default_epochs"], method["default_schedule_shape"]) for name, method in methods.items()}
    assert (defaults["movement"], defaults["wanda"], defaults["rewind"]) == ((6, "cubic"), (0, "one_shot"), (6, None))
