"""What every answer tells browsers, and whom of them it lets in."""

import base64
import hashlib
import re

import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from store import Settings
from tests.unit.api.calling import Api

FIXED = {"x-content-type-options": "nosniff", "x-frame-options": "DENY", "referrer-policy": "no-referrer"}
ORIGIN = "https://app.example"


def test_every_answer_has_them_whatever_it_is(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [
        api.get("/v1/jobs"),
        api.get("/healthz"),
        api.get("/openapi.json"),
        api.get("/v1/nothing"),
        api.call("PUT", "/v1/jobs"),
        api.client.get("/v1/jobs"),
        api.submit({}),
        api.client.get("/static-offline-docs/swagger-ui.css"),
    ]
    with monkeypatch.context() as broken:
        broken.setattr("api.jobs.endpoints.list_jobs", None)
        answers.append(api.get("/v1/jobs"))
    assert [answer.status_code for answer in answers] == [200, 200, 200, 404, 405, 401, 422, 200, 500]
    for answer in answers:
        assert FIXED.items() <= answer.headers.items(), answer.url
        assert answer.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert "strict-transport-security" not in answer.headers
        assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("path", ["/docs", "/docs/oauth2-redirect"])
def test_the_documentation_may_run_its_own_scripts_and_no_others(client: TestClient, path: str) -> None:
    page = client.get(path)
    assert FIXED.items() <= page.headers.items()
    policy = dict(part.strip().split(" ", 1) for part in page.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == policy["frame-ancestors"] == "'none'"
    assert "unsafe" not in policy["script-src"]
    inline = re.findall(r"<script>(.*?)</script>", page.text, re.DOTALL)
    assert len(inline) == 1
    digest = base64.b64encode(hashlib.sha256(inline[0].encode()).digest()).decode()
    assert policy["script-src"] == f"'self' 'sha256-{digest}'"
    assert re.findall(r"\son\w+=", page.text) == [], "no script hides in an attribute"
    assert page.headers["content-length"] == str(len(page.content))


def app(settings: Settings, **more: object) -> TestClient:
    return TestClient(create_app(Settings(**{**settings.model_dump(), **more})))


def test_https_only_is_said_where_it_is_set(settings: Settings) -> None:
    with app(settings, hsts_s=31_536_000) as client:
        assert client.get("/healthz").headers["strict-transport-security"] == "max-age=31536000"


def test_pages_of_other_origins_are_let_in_by_name(settings: Settings) -> None:
    with app(settings, cors_origins=f"{ORIGIN}, http://localhost:3000") as client:
        asks = {
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,idempotency-key",
        }
        allowed = client.options("/v1/jobs", headers={"Origin": ORIGIN, **asks})
        assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (200, ORIGIN)
        assert "access-control-allow-credentials" not in allowed.headers
        refused = client.options("/v1/jobs", headers={"Origin": "https://evil.example", **asks})
        assert refused.status_code == 400
        assert "access-control-allow-origin" not in refused.headers
        answer = client.get("/v1/jobs", headers={"Origin": ORIGIN})
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (401, ORIGIN)
        assert "ETag" in answer.headers["access-control-expose-headers"]
        assert FIXED.items() <= answer.headers.items()


def test_without_the_setting_nobody_is(client: TestClient) -> None:
    preflight = client.options("/v1/jobs", headers={"Origin": ORIGIN, "Access-Control-Request-Method": "POST"})
    assert preflight.status_code == 405
    assert "access-control-allow-origin" not in preflight.headers


@pytest.mark.parametrize("wrong", ["*", "app.example", "https://app.example/path", "https://*.example", "null"])
def test_what_is_no_origin_is_refused_at_the_start(wrong: str) -> None:
    with pytest.raises(ValueError, match="scheme://host"):
        Settings(cors_origins=f"{ORIGIN},{wrong}")


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({"Content-Type": "text/plain"}, "not 'text/plain'"),
        ({"Content-Type": "application/x-www-form-urlencoded"}, "application/json"),
        ({"Content-Type": "application/json; charset=latin-1"}, "UTF-8"),
        ({"Content-Type": "application/json", "Content-Encoding": "gzip"}, "without `Content-Encoding`"),
        ({"Content-Type": "json"}, "not 'json'"),
        ({}, "not 'nothing'"),
    ],
    ids=str,
)
def test_json_is_taken_only_as_what_it_is(api: Api, headers: dict[str, str], words: str) -> None:
    answer = api.call("POST", "/v1/jobs", content=b"{}", headers=headers)
    assert answer.status_code == 415
    assert words in answer.json()["detail"]


@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=UTF-8", "application/vnd.own+json"])
def test_json_by_its_other_names_is_taken(api: Api, kind: str) -> None:
    assert api.call("POST", "/v1/jobs", content=b"{}", headers={"Content-Type": kind}).status_code == 422


def test_a_compressed_upload_is_refused(api: Api) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=b", "Content-Encoding": "gzip"}
    assert api.call("POST", "/v1/datasets", content=b"--b--", headers=headers).status_code == 415
