"""Whatever goes wrong is answered as a problem that says what to do, and never says more than that."""

import re
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from api.dependencies import Services
from store import Scope, Settings, create_key
from store.key_text import mint
from tests.unit.api.calling import Api, detail, pointers

#: A key that nobody has, which only the database can tell.
UNKNOWN, _ = mint(f"key_{'0' * 32}")


def test_an_unknown_route_is_a_problem(api: Api) -> None:
    answer = api.get("/v1/nothing")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json() == {
        "type": "urn:secateur:problem:not-found",
        "title": "Not found",
        "status": 404,
        "detail": "There is nothing at /v1/nothing. See /docs for what there is.",
        "instance": "/v1/nothing",
        "request_id": answer.headers["x-request-id"],
    }


def test_a_method_that_a_route_lacks_is_a_problem_that_names_those_it_has(api: Api) -> None:
    for path, methods in (("/v1/methods", "GET"), ("/v1/keys/key_1", "DELETE, GET"), ("/v1/uploads", "OPTIONS, POST")):
        answer = api.call("PUT", path)
        assert (answer.status_code, answer.headers["allow"]) == (405, methods)
        assert f"use {methods}" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("path", "pointer", "words"),
    [
        ("/v1/compare", "/query/job", "job is missing. Send it."),
        (f"/v1/compare?job=job_{'0' * 32}", "/query/job", "job: give at least 2 of them, not 1."),
        ("/v1/jobs?limit=0", "/query/limit", 'limit: input should be greater than or equal to 1, not "0".'),
        ("/v1/jobs?q=" + "a" * 301, "/query/q", "q: string should have at most 300 characters"),
        ("/v1/jobs?tag=nightly", "/query/tag/0", ', not "nightly".'),
        ("/v1/audit?since=9999-12-31T23:59:59-14:00", "/query/since", "between the years 1 and 9999 in UTC"),
    ],
)
def test_a_parameter_that_does_not_fit_is_told_with_what_to_send(api: Api, path: str, pointer: str, words: str) -> None:
    refused = api.get(path)
    assert (refused.status_code, pointers(refused)) == (422, {pointer})
    assert words in detail(refused, pointer)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"model": "x",\n "dataset": }', "line 2, column 13"),
        (b"", "line 1, column 1"),
        (b'{"a": 1, "a": 2}', "'a' twice"),
        (b'{"a": NaN}', "NaN is not"),
        (b"\xff\xfe", "not UTF-8 at byte 0"),
        (b"[" * 100_000, "nests too deeply"),
        (b'{"pruning": ' + b'{"a": ' * 500 + b"1" + b"}" * 501, "nests deeper than 64"),
        (b'{"model": ' + b"[" * 200 + b"]" * 200 + b"}", "nests deeper than 64"),
        (b'{"a": ' + b"1" * 5000 + b"}", "digits"),
    ],
    ids=["syntax", "empty", "twice", "nan", "encoding", "depth", "objects", "lists", "digits"],
)
def test_what_is_no_json_is_a_400_with_its_place(api: Api, body: bytes, words: str) -> None:
    answer = api.call("POST", "/v1/jobs", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400, answer.text
    assert words in answer.json()["detail"]


def test_a_body_that_is_no_object_or_of_another_type_or_too_large(api: Api) -> None:
    assert api.call("POST", "/v1/jobs", json=[1]).status_code == 422
    assert api.call("POST", "/v1/jobs", content=b"a=1", headers={"Content-Type": "text/plain"}).status_code == 415
    assert api.call("POST", "/v1/jobs", json={"a": "x" * 2_000_000}).status_code == 413


@pytest.mark.parametrize("path", ["/v1/jobs/nonsense", "/v1/jobs/job_%00", f"/v1/jobs/ds_{'0' * 32}/events"])
def test_what_cannot_be_an_id_is_not_found(api: Api, path: str) -> None:
    answer = api.get(path)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


def test_keys_are_needed_checked_and_scoped(api: Api) -> None:
    bare = api.client.get("/v1/jobs")
    assert (bare.status_code, bare.headers["www-authenticate"]) == (401, 'Bearer realm="secateur"')
    for wrong in ("sec_x_y", "Bearer", "sec__", "nonsense", "sec_ü_ü"):
        answer = api.client.get("/v1/jobs", headers={b"Authorization": f"Bearer {wrong}".encode()})
        assert answer.status_code == 401, wrong
        assert wrong not in answer.text
    with api.database.write() as session:
        _, reading = create_key(session, api.team, "reading", [Scope.READ])
        _, submitting = create_key(session, api.team, "submitting", [Scope.SUBMIT])
    reader = Api(api.client, api.database, api.team, reading)
    submitter = Api(api.client, api.database, api.team, submitting)
    assert reader.get("/v1/jobs").status_code == 200
    refused = reader.submit({})
    assert refused.status_code == 403
    assert "'submit'" in refused.json()["detail"]
    assert submitter.get("/v1/jobs").status_code == 403
    assert submitter.submit({}).status_code == 422


def test_a_key_is_checked_before_an_upload_is_read(api: Api) -> None:
    answer = api.client.post("/v1/datasets", content=b"x" * 5_000_000)
    assert answer.status_code == 401


def test_a_fault_of_ours_tells_nothing_but_its_request_id(
    settings: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    app = create_app(settings)

    def break_down(self: Services) -> None:
        raise RuntimeError("the password is hunter2")

    monkeypatch.setattr("store.engine.Database.read", break_down)
    with TestClient(app, raise_server_exceptions=False) as client:
        answer = client.get("/v1/jobs", headers={"Authorization": f"Bearer {UNKNOWN}", "X-Request-ID": "mine-1"})
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["request_id"] == answer.headers["x-request-id"] == "mine-1"
    assert "hunter2" not in answer.text
    log = capsys.readouterr().err
    assert "hunter2" in log
    assert UNKNOWN not in log, "keys are never logged"


def test_a_database_without_schema_is_a_503_that_says_what_to_run(tmp_path: Path) -> None:
    app = create_app(Settings(database_url=f"sqlite:///{tmp_path}/new.db", broker_url="redis://127.0.0.1:1/0"))
    with TestClient(app) as client:
        answer = client.get("/v1/jobs", headers={"Authorization": f"Bearer {UNKNOWN}"})
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert "python -m store.migrate" in answer.json()["detail"]
        ready = client.get("/readyz")
        asked = client.head("/readyz")  # as some balancers do
        assert (ready.status_code, ready.json()["checks"]["database"]) == (503, "behind")
        assert (asked.status_code, asked.content, client.head("/healthz").status_code) == (503, b"", 200)
        assert client.get("/healthz").json() == {"status": "ok"}


def test_a_forged_request_id_is_replaced(api: Api) -> None:
    answer = api.get("/healthz", headers={"X-Request-ID": 'x"} {"forged": true'})
    assert "forged" not in answer.headers["x-request-id"]


def test_the_description_of_the_service_is_whole(api: Api) -> None:
    document = api.client.get("/openapi.json").json()
    schemas = document["components"]["schemas"]
    assert {"JobSpec", "ProblemDocument", "JobView", "TextClassification"} <= set(schemas)
    references = str(document).split("'$ref': '#/components/schemas/")[1:]
    assert {reference.split("'")[0] for reference in references} <= set(schemas)
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert operation.get("description"), f"{method} {path} is not described"


def test_the_documentation_page_needs_no_other_host(client: TestClient) -> None:
    page = client.get("/docs")
    assert page.status_code == 200
    sources = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert not [source for source in sources if "//" in source]
    assert "https:" not in page.text
    assert len(sources) >= 3
    assert [client.get(source).status_code for source in sources] == [200] * len(sources)
