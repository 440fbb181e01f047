"""Keys over HTTP: made, shown once, listed, rotated, and of no use once they are revoked."""

import time
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import event

from store import Database, Key, get_key
from store.key_text import mint
from tests.unit.api.calling import Api, detail, pointers


def create(api: Api, **fields: object) -> dict[str, Any]:
    answer = api.call("POST", "/v1/keys", json={"name": "ci", **fields})
    assert answer.status_code == 201, answer.text
    assert answer.headers["cache-control"] == "no-store"
    made: dict[str, Any] = answer.json()
    assert answer.headers["location"] == made["url"] == f"/v1/keys/{made['id']}"
    return made


def holder(api: Api, made: dict[str, Any]) -> Api:
    """The service, called with a key that was just made."""
    return Api(api.client, api.database, api.team, made["key"])


def test_a_key_is_shown_once_and_works(api: Api) -> None:
    made = create(api, name=" nightly ", scopes=["submit", "read", "read"])
    assert (made["name"], made["scopes"], made["expires_at"]) == ("nightly", ["read", "submit"], None)
    assert holder(api, made).get("/v1/jobs").status_code == 200
    assert holder(api, made).get("/v1/keys").status_code == 403
    secret = made["key"].split("_")[2]
    for answer in (api.get("/v1/keys"), api.get(made["url"])):
        assert secret not in answer.text
        assert "hash" not in answer.text
    known = api.get(made["url"]).json()
    assert {**known, "last_used_at": None, "key": made["key"]} == made


def test_left_out_it_may_read_and_submit_for_ever(api: Api) -> None:
    made = create(api)
    assert (made["scopes"], made["expires_at"]) == (["read", "submit"], None)


@pytest.mark.parametrize(
    ("fields", "pointer", "words"),
    [
        ({"name": ""}, "/name", "name: string should have at least 1 character"),
        ({"name": "two\nlines"}, "/name", "name: must be printable"),
        ({"name": None}, "/name", "not null"),
        ({"scopes": []}, "/scopes", "at least 1 item"),
        ({"scopes": ["write"]}, "/scopes/0", "'read', 'submit' or 'admin'"),
        ({"expires_in_s": 0}, "/expires_in_s", "greater than 0"),
        ({"expires_in_s": "60"}, "/expires_in_s", "valid number"),
        ({"expires_in_s": 1e12}, "/expires_in_s", "less than or equal to 315360000"),
        ({"colour": "red"}, "/colour", "Known: name, scopes, expires_in_s."),
    ],
)
def test_a_wrong_field_is_named_with_its_remedy(api: Api, fields: dict[str, object], pointer: str, words: str) -> None:
    answer = api.call("POST", "/v1/keys", json={"name": "ci", **fields})
    assert (answer.status_code, pointers(answer)) == (422, {pointer})
    assert words in detail(answer, pointer)


def test_a_key_needs_a_name(api: Api) -> None:
    answer = api.call("POST", "/v1/keys", json={})
    assert (answer.status_code, detail(answer, "/name")) == (422, "name is missing. Give it.")


@pytest.mark.parametrize("scopes", [["read"], ["submit"], ["read", "submit"]])
def test_only_admins_have_to_do_with_keys(api: Api, scopes: list[str]) -> None:
    other = api.with_scopes(*scopes)
    assert other.get("/v1/keys").status_code == 403
    assert other.call("POST", "/v1/keys", json={"name": "ci"}).status_code == 403
    assert other.call("DELETE", f"/v1/keys/{other.key_id}").status_code == 403
    assert other.call("POST", f"/v1/keys/{other.key_id}/rotate").status_code == 403


def test_a_revoked_key_is_refused_at_once(api: Api) -> None:
    made = create(api)
    user = holder(api, made)
    assert user.get("/v1/jobs").status_code == 200
    assert [api.call("DELETE", made["url"]).status_code for _ in range(2)] == [204, 204]
    assert user.get("/v1/jobs").status_code == 401
    listed = {key["id"] for key in api.get("/v1/keys").json()["data"]}
    assert listed == {api.key_id}
    [revoked] = api.get("/v1/keys?revoked=true").json()["data"]
    assert (revoked["id"], revoked["revoked_at"] is not None) == (made["id"], True)
    assert api.get(made["url"]).json() == revoked


def test_a_rotated_key_gives_way(api: Api) -> None:
    old = create(api, expires_in_s=1000)
    new = api.call("POST", f"{old['url']}/rotate", json={"overlap_s": 60}).json()
    assert (new["name"], new["scopes"]) == (old["name"], old["scopes"])
    assert new["key"] != old["key"]
    assert [holder(api, each).get("/v1/jobs").status_code for each in (old, new)] == [200, 200]
    assert api.get(old["url"]).json()["replaced_by"] == new["id"]
    newest = api.call("POST", f"{new['url']}/rotate").json()
    assert [holder(api, each).get("/v1/jobs").status_code for each in (new, newest)] == [401, 200]
    again = api.call("POST", f"{old['url']}/rotate")
    assert (again.status_code, new["id"] in again.json()["detail"]) == (409, True)
    refused = api.call("POST", f"{newest['url']}/rotate", json={"overlap_s": -1})
    assert (refused.status_code, pointers(refused)) == (422, {"/overlap_s"})


def test_a_use_is_noted(api: Api, database: Database) -> None:
    made = create(api)
    assert made["last_used_at"] is None
    holder(api, made).get("/v1/jobs")
    until = time.monotonic() + 10
    while api.get(made["url"]).json()["last_used_at"] is None:
        assert time.monotonic() < until, "It is written soon, though nobody waits for it."
        time.sleep(0.05)


def test_pages_of_keys_follow_each_other(api: Api) -> None:
    made = [create(api)["id"] for _ in range(3)]
    first = api.get("/v1/keys?limit=2").json()
    rest = api.get(f"/v1/keys?limit=2&cursor={first['next_cursor']}").json()
    assert [key["id"] for key in first["data"] + rest["data"]] == [*made[::-1], api.key_id]
    assert (first["has_more"], rest["has_more"]) == (True, False)


def test_a_key_that_was_shown_lately_asks_no_database_and_a_typo_never_does(
    api: Api, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.keyring.KNOWN_S", 60.0)  # longer than this test takes on any machine
    engine = client.app.state.services.database.engine  # type: ignore[attr-defined]  # Starlette types it as any ASGI app
    asked: list[str] = []

    def note(connection: object, cursor: object, statement: str, *more: object) -> None:
        if statement.startswith("SELECT") and "secret_hash" in statement:
            asked.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    text = api.headers["Authorization"].removeprefix("Bearer ")
    typo = text[:60] + ("a" if text[60] != "a" else "b") + text[61:]
    for wrong in (typo, text[:-1], text + "0"):
        assert client.get("/v1/methods", headers={"Authorization": f"Bearer {wrong}"}).status_code == 401
    assert asked == []
    assert [api.get("/v1/methods").status_code for _ in range(5)] == [200] * 5
    assert len(asked) == 1
    monkeypatch.setattr("api.keyring.KNOWN_S", 0.0)
    api.get("/v1/methods")
    assert len(asked) == 2
    unknown = {"Authorization": f"Bearer {mint('key_' + '0' * 32)[0]}"}
    assert [client.get("/v1/methods", headers=unknown).status_code for _ in range(2)] == [401, 401]
    assert len(asked) == 4, "that a key is unknown is not remembered: it may come to be"
    event.remove(engine, "before_cursor_execute", note)


def test_a_key_that_is_revoked_while_it_is_looked_up_is_not_remembered(
    api: Api, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = create(api)
    keyring = client.app.state.services.keyring  # type: ignore[attr-defined]  # Starlette types it as any ASGI app
    look_up = keyring._look_up

    def overtaken(text: str) -> object:
        found = look_up(text)
        if text == made["key"] and found:
            assert api.call("DELETE", made["url"]).status_code == 204
        return found

    monkeypatch.setattr(keyring, "_look_up", overtaken)
    assert [holder(api, made).get("/v1/jobs").status_code for _ in range(2)] == [200, 401]


def test_what_is_kept_of_a_key_does_not_tell_it(api: Api, database: Database) -> None:
    made = create(api)
    with database.read() as session:
        row: Key = get_key(session, api.team, made["id"])
    kept = " ".join(str(getattr(row, column.key)) for column in Key.__mapper__.columns)
    assert made["key"].split("_")[2] not in kept
    assert made["key"].split("_")[2][:43] not in kept
