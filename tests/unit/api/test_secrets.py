"""No secret gets into a log or an answer, whatever goes wrong and wherever it was pasted."""

import json
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr

from api.app import create_app
from store import Database, Scope, Settings, create_key, ensure_team
from tests.unit.api.calling import Api

SERVER_SECRET = "the-servers-own-secret-7f3a"


@pytest.fixture
def secretive(settings: Settings, database: Database) -> Iterator[tuple[Api, str]]:
    """A service with a secret of its own, and the secret of a key to it."""
    app = create_app(Settings(**{**settings.model_dump(), "server_secret": SecretStr(SERVER_SECRET)}))
    with database.write() as session:
        team = ensure_team(session, "secretive").id
        _, key = create_key(session, team, "all", list(Scope), server_secret=SERVER_SECRET)
    with TestClient(app, raise_server_exceptions=False) as client:
        yield Api(client, database, team, key), key


def test_nothing_that_goes_wrong_tells_a_secret(
    secretive: tuple[Api, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    api, key = secretive
    typo = key[:-1] + ("a" if key[-1] != "a" else "b")
    json_type = {"Content-Type": "application/json"}
    answers = [
        api.client.get("/v1/jobs", headers={"Authorization": f"Bearer {typo}"}),
        api.client.get("/v1/jobs", headers={"Authorization": f"Basic {key}"}),
        api.client.get("/v1/jobs", headers={"Authorization": key}),
        api.get(f"/v1/keys/{key}"),
        api.call("DELETE", f"/v1/keys/{key}"),
        api.get(f"/v1/{key}"),
        api.get(f"/v1/jobs?key={key}&limit={key}&cursor={key}"),
        api.get("/v1/jobs", headers={"X-Request-ID": key}),
        api.submit({"model": key, "dataset": key, "method": key, key: key}),
        api.submit({}, **{"Idempotency-Key": key}),
        api.call("POST", "/v1/jobs", content=f'{{"{key}": 1, "{key}": 2}}'.encode(), headers=json_type),
        api.call("POST", "/v1/jobs", content=b"{}", headers={"Content-Type": f"text/{key}"}),
        api.call("POST", "/v1/keys", json={"name": key, "scopes": [key]}),
        api.call("POST", "/v1/datasets", data={"name": "x", key: "y"}, files={"train": (f"{key}.exe", b"")}),
    ]

    def break_down(*_: object, **__: object) -> None:
        raise RuntimeError(f"{key} and its team")

    with monkeypatch.context() as broken:
        broken.setattr("api.jobs.endpoints.list_jobs", break_down)
        answers.append(api.get("/v1/jobs"))
    made = api.call("POST", "/v1/keys", json={"name": "shown once"})
    log = capsys.readouterr().err
    assert len([line for line in log.splitlines() if json.loads(line)["event"] == "request"]) == len(answers) + 1
    secrets = [key.split("_")[2], typo.split("_")[2], made.json()["key"].split("_")[2], SERVER_SECRET]
    assert "and its team" in log, "what went wrong is told"
    assert [secret for secret in secrets if secret in log] == []
    for answer in answers:
        told = answer.text + str(answer.headers)
        assert [secret for secret in secrets if secret in told] == [], answer.request.url
    assert {answer.status_code for answer in answers} >= {200, 400, 401, 404, 415, 422, 500}
