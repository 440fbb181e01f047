"""Webhooks over HTTP: made, changed, rotated, limited, one team's alone; what may be called; their log."""

from typing import Any

import pytest
from sqlalchemy import update

from store import Settings, Webhook
from store.clock import db_now
from tests.unit.api.calling import Api, detail, pointers

URL = "https://hooks.example.org/secateur?team=a"


def create(api: Api, **fields: object) -> dict[str, Any]:
    answer = api.call("POST", "/v1/webhooks", json={"url": URL, **fields})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"/v1/webhooks/{made['id']}"
    assert answer.headers["cache-control"] == "no-store"
    return made


def test_a_webhook_is_made_and_its_secret_shown_once(api: Api) -> None:
    made = create(api, name=" nightly ", events=["job.failed", "job.succeeded", "job.failed"])
    secret = made.pop("secret")
    assert secret.startswith("whsec_")
    assert made["events"] == ["job.succeeded", "job.failed"]
    assert (made["name"], made["enabled"], made["only_named"], made["disabled_reason"]) == (
        "nightly",
        True,
        False,
        None,
    )
    assert api.get(f"/v1/webhooks/{made['id']}").json() == made
    listed = api.get("/v1/webhooks")
    assert listed.json()["data"] == [made]
    assert secret not in listed.text


def test_left_out_it_hears_of_the_ends_of_all_jobs(api: Api) -> None:
    assert create(api)["events"] == ["job.succeeded", "job.failed", "job.cancelled"]


@pytest.mark.parametrize(
    ("fields", "pointer", "words"),
    [
        ({}, "/url", "missing"),
        ({"url": "http://example.org/"}, "/url", "must be https"),
        ({"url": "ftp://example.org/"}, "/url", "https://host/path"),
        ({"url": "https://"}, "/url", "https://host/path"),
        ({"url": "https://user:word@example.org/"}, "/url", "user or password"),
        ({"url": "https://example.org/#a"}, "/url", "#fragment"),
        ({"url": "https://example.org:22/"}, "/url", "port 443 or 8443"),
        ({"url": "https://example.org:99999/"}, "/url", "https://host/path"),
        ({"url": "https://127.0.0.1/"}, "/url", "public address"),
        ({"url": "https://[::ffff:10.0.0.1]/"}, "/url", "public address"),
        ({"url": "https://exämple.org/"}, "/url", "xn--"),
        ({"url": "https://example.org/a b"}, "/url", "%XX"),
        ({"url": "https://example.org/" + "a" * 2000}, "/url", "2000"),
        ({"url": URL, "events": []}, "/events", "at least 1"),
        ({"url": URL, "events": ["job.exploded"]}, "/events/0", "'job.succeeded'"),
        ({"url": URL, "name": "\t"}, "/name", "printable"),
        ({"url": URL, "secret": "whsec_mine"}, "/secret", "not known here"),
    ],
)
def test_what_cannot_be_is_refused_by_field(api: Api, fields: dict[str, object], pointer: str, words: str) -> None:
    answer = api.call("POST", "/v1/webhooks", json=fields)
    assert (answer.status_code, pointers(answer)) == (422, {pointer}), answer.text
    assert words in detail(answer, pointer)
    assert api.get("/v1/webhooks").json()["data"] == []


def test_a_url_is_a_teams_once(api: Api) -> None:
    first = create(api)
    again = api.call("POST", "/v1/webhooks", json={"url": URL})
    assert "another webhook of your team has it" in detail(again, "/url")
    second = create(api, url="https://example.org/b")
    moved = api.call("PATCH", f"/v1/webhooks/{second['id']}", json={"url": URL})
    assert pointers(moved) == {"/url"}
    assert api.call("PATCH", f"/v1/webhooks/{first['id']}", json={"url": URL}).status_code == 200
    assert create(api.as_other_team())["id"] not in {first["id"], second["id"]}


def test_the_same_request_makes_one_webhook(api: Api) -> None:
    def post(body: dict[str, object]) -> Any:
        return api.call("POST", "/v1/webhooks", json=body, headers={"Idempotency-Key": "once"})

    first = post({"url": URL})
    assert post({"url": URL}).json() == first.json(), "the secret with it: the first answer may have been lost"
    other = post({"url": URL, "name": "x"})
    assert pointers(other) == {"/header/Idempotency-Key"}
    with api.database.write() as session:
        session.execute(update(Webhook).where(Webhook.team_id == api.team).values(created_at=db_now(-86_401.0)))
    assert post({"url": "https://example.org/new"}).status_code == 201, "a day later the key is free"
    assert len(api.get("/v1/webhooks").json()["data"]) == 2


def test_what_is_given_changes_and_the_rest_stays(api: Api) -> None:
    made = create(api, name="a")
    del made["secret"]
    path = f"/v1/webhooks/{made['id']}"
    assert api.call("PATCH", path, json={}).json() == made
    disabled = api.call("PATCH", path, json={"enabled": False, "events": ["job.started"], "name": None}).json()
    assert disabled["disabled_at"] is not None
    expected = {"enabled": False, "events": ["job.started"], "name": None, "disabled_reason": "Disabled by request."}
    assert disabled == {**made, **expected, "disabled_at": disabled["disabled_at"]}
    enabled = api.call("PATCH", path, json={"enabled": True}).json()
    assert enabled == {**disabled, "enabled": True, "disabled_at": None, "disabled_reason": None}
    refused: list[dict[str, object]] = [
        {"url": "http://example.org"}, {"events": []}, {"enabled": "yes"}, {"url": None}, {"id": "whk_"},
    ]  # fmt: skip
    for wrong in refused:
        assert api.call("PATCH", path, json=wrong).status_code == 422, wrong
    assert api.get(path).json() == enabled


def test_a_rotation_shows_another_secret(api: Api) -> None:
    made = create(api)
    path = f"/v1/webhooks/{made['id']}/rotate"
    secrets = {made["secret"], *(api.call("POST", path).json()["secret"] for _ in range(2))}
    assert len(secrets) == 3
    assert pointers(api.call("POST", path, json={"overlap_s": -1})) == {"/overlap_s"}


def test_a_team_has_so_many_webhooks(api: Api, settings: Settings) -> None:
    for number in range(settings.team_max_webhooks):
        create(api, url=f"https://example.org/{number}")
    answer = api.call("POST", "/v1/webhooks", json={"url": URL})
    assert answer.status_code == 429
    assert "SECATEUR_TEAM_MAX_WEBHOOKS" in answer.json()["detail"]


def test_whoever_may_only_read_changes_nothing(api: Api) -> None:
    path = f"/v1/webhooks/{create(api)['id']}"
    reader = api.with_scopes("read")
    assert reader.get(path).status_code == 200
    assert reader.get(f"{path}/messages").status_code == 200
    for method, below in (("POST", "/test"), ("POST", "/rotate"), ("PATCH", ""), ("DELETE", "")):
        assert reader.call(method, path + below, json={}).status_code == 403
    assert reader.call("POST", "/v1/webhooks", json={"url": URL}).status_code == 403


def test_changes_are_in_the_audit_log_and_urls_are_not(api: Api) -> None:
    made = create(api)
    api.call("POST", f"/v1/webhooks/{made['id']}/rotate")
    api.call("DELETE", f"/v1/webhooks/{made['id']}")
    answer = api.get(f"/v1/audit?target_id={made['id']}")
    assert [entry["method"] for entry in answer.json()["data"]] == ["DELETE", "POST", "POST"]
    assert "example.org" not in answer.text


def test_a_test_is_queued_and_waits_in_the_log(api: Api) -> None:
    path = f"/v1/webhooks/{create(api)['id']}"
    queued = api.call("POST", f"{path}/test")
    assert queued.status_code == 202
    message = queued.json()
    assert (message["type"], message["job"], message["status"], message["tries"]) == (
        "webhook.test",
        None,
        "pending",
        0,
    )
    shown = api.get(queued.headers["location"]).json()
    assert shown == {**message, "payload": shown["payload"], "log": []}
    assert api.get(f"{path}/messages?status=pending").json()["data"] == [message]
    assert api.get(f"{path}/messages?status=failed").json()["data"] == []
    assert api.call("POST", f"{queued.headers['location']}/resend").status_code == 409
    assert api.call("DELETE", path).status_code == 204
    assert api.get(queued.headers["location"]).status_code == 404


def test_a_job_names_a_webhook_that_there_is(api: Api, model: str, dataset: str) -> None:
    spec = {"model": model, "dataset": dataset, "method": "movement", "target_sparsity": 0.9, "webhook": URL}
    create(api.as_other_team(), url=URL + "&other")
    refused = api.submit(spec)
    assert "POST /v1/webhooks" in detail(refused, "/webhook")
    webhook = create(api, only_named=True, events=["job.submitted"])
    job = api.submit(spec).json()
    assert job["spec"]["webhook"] == URL
    assert api.submit({**spec, "webhook": None}).status_code == 202
    messages = api.get(f"/v1/webhooks/{webhook['id']}/messages").json()["data"]
    assert [(message["type"], message["job"]) for message in messages] == [("job.submitted", job["id"])]
