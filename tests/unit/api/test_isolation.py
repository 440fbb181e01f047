"""No route gives, changes or admits to anything of another team."""

import re
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from fastapi.routing import APIRoute, iter_route_contexts
from fastapi.testclient import TestClient

from api.app import create_app
from store import Database, Settings
from tests.unit.api.calling import Api
from tests.unit.api.conftest import new_team
from tests.unit.api.finishing import finish
from tests.unit.api.uploads import sentences

Thing = Callable[[Api], str]


def a_dataset(api: Api) -> str:
    return str(api.upload_dataset(train=("train.csv", sentences(400))).json()["id"])


def a_model(api: Api) -> str:
    return api.upload_model_copy().removeprefix("upload://")


def a_spec(api: Api) -> dict[str, object]:
    """Of a job that goes before every other one."""
    spec = {"model": f"upload://{a_model(api)}", "dataset": f"upload://{a_dataset(api)}", "method": "movement"}
    return {**spec, "target_sparsity": 0.9, "priority": 1000}


def finished(api: Api) -> str:
    """The job whose turn it is succeeds, and leaves behind everything that one does."""
    path = finish(api.database, {"model/config.json": b"{}"}, {"encoder": np.eye(4, dtype=np.bool_)})
    return path.rpartition("/")[2]


def a_job(api: Api) -> str:
    answer = api.submit(a_spec(api))
    assert answer.status_code == 202, answer.text
    job_id = finished(api)
    assert answer.headers["location"].endswith(job_id)
    return job_id


def a_sweep(api: Api) -> str:
    """A sweep whose one job has succeeded."""
    sweep = {"base": a_spec(api), "grid": {"training.seed": [1]}}
    answer = api.call("POST", "/v1/sweeps", json=sweep)
    assert answer.status_code == 202, answer.text
    assert answer.json()["runs"][0]["job"] == finished(api)
    return str(answer.json()["id"])


def a_key(api: Api) -> str:
    return str(api.call("POST", "/v1/keys", json={"name": "ci"}).json()["id"])


def an_upload(api: Api) -> str:
    return str(api.call("POST", "/v1/uploads", headers=TUS).json()["id"])


def a_webhook(api: Api) -> str:
    url = f"https://example.org/{uuid.uuid4().hex}"
    return str(api.call("POST", "/v1/webhooks", json={"url": url}).json()["id"])


def a_message(api: Api, webhook: str) -> str:
    return str(api.call("POST", f"/v1/webhooks/{webhook}/test").json()["id"])


#: What begins an upload in parts, and adds nothing to it.
TUS = {
    "Tus-Resumable": "1.0.0",
    "Upload-Length": "1",
    "Upload-Metadata": "filename Zg==",
    "Upload-Offset": "0",
    "Content-Type": "application/offset+octet-stream",
}

#: How to make what each parameter of a path names; a new one needs a line here.
THINGS: dict[str, Thing] = {
    "job_id": a_job,
    "sweep_id": a_sweep,
    "dataset_id": a_dataset,
    "model_id": a_model,
    "key_id": a_key,
    "upload_id": an_upload,
    "webhook_id": a_webhook,
    "message_id": lambda api: a_message(api, a_webhook(api)),  # where it is named with its webhook: one of that
    "name": lambda api: "model/config.json",
    "kind": lambda api: "datasets",
    "namespace": lambda api: "datasets",
    "repository": a_dataset,
    "revision": lambda api: "main",
    "path": lambda api: "data",
}

#: Requests that the state of a job that has succeeded forbids, or of a message that waits, once it is one's own.
REFUSED_TO_ITS_OWNER = {"cancel", "pause", "resume", "retry", "resend"}


#: Repositories without a namespace, of which no team has any: 404 whoever asks (test_hub.py).
NOBODYS = re.compile(r"/hf/(api/\{kind\}/)?\{name\}")


def routes() -> Iterator[tuple[str, str]]:
    """Every method and path of the service that names something."""
    app = create_app(Settings(database_url="sqlite://"))
    for context in iter_route_contexts(app.routes):
        path = str(context.path)
        if isinstance(context.original_route, APIRoute) and "{" in path and not NOBODYS.match(path):
            for method in sorted(context.methods or ()):
                yield method, path


ROUTES = sorted(routes())


@pytest.fixture(scope="module")
def owner(client: TestClient, database: Database) -> Api:
    return new_team(client, database)


@pytest.fixture(scope="module")
def stranger(client: TestClient, database: Database) -> Api:
    return new_team(client, database)


@pytest.fixture(scope="module")
def things(owner: Api) -> dict[str, str]:
    return {name: make(owner) for name, make in THINGS.items()}


def test_the_routes_are_found() -> None:
    assert len(ROUTES) >= 25
    assert {("GET", "/v1/jobs/{job_id}"), ("DELETE", "/v1/keys/{key_id}")} <= set(ROUTES)


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_what_is_another_teams_is_not_there(
    owner: Api, stranger: Api, things: dict[str, str], method: str, path: str
) -> None:
    names = [name.partition(":")[0] for name in re.findall(r"\{([^}]+)\}", path)]
    assert set(names) <= set(THINGS), "Say in THINGS how to make what this route names."
    # What is deleted is gone for the tests that follow, so that it is made for this one.
    mine = things if method != "DELETE" else {name: THINGS[name](owner) for name in names}
    if path.startswith("/hf/{namespace}"):
        mine = {**mine, "namespace": "models", "repository": things["model_id"], "path": "config.json"}
    elif "/resolve/" in path:
        mine = {**mine, "path": "data/train-00000-of-00001.parquet"}
    elif "{message_id}" in path:
        mine = {**mine, "message_id": a_message(owner, mine["webhook_id"])}
    sent: dict[str, Any] = {"headers": TUS} if path.startswith("/v1/uploads") else {}
    if (method, path) == ("PATCH", "/v1/webhooks/{webhook_id}"):
        sent = {"json": {}}
    url = re.sub(r"\{(\w+)(:\w+)?\}", lambda found: mine[found[1]], path)
    refused = stranger.call(method, url, **sent)
    assert refused.status_code == 404, refused.text
    unknown = re.sub(r"(job|swp|ds|mdl|key|upl|whk|msg)_\w+", lambda found: f"{found[1]}_{'0' * 32}", url)
    nowhere = stranger.call(method, unknown, **sent)
    assert said(nowhere, unknown) == said(refused, url), "nothing tells what is another's from what is not there"
    own = owner.call(method, url, **sent)
    assert own.status_code in ({409} if path.rpartition("/")[2] in REFUSED_TO_ITS_OWNER else {200, 201, 202, 204})


def said(answer: Any, url: str) -> tuple[int, str]:
    """An answer's status and words, without the id that was asked for."""
    detail = answer.json()["detail"] if answer.text else ""
    return answer.status_code, re.sub(r"(job|swp|ds|mdl|key|upl|whk|msg)_\w+", "ID", detail)


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/datasets", "/v1/models", "/v1/webhooks", "/v1/keys"])
def test_lists_hold_ones_own(owner: Api, stranger: Api, things: dict[str, str], path: str) -> None:
    assert things
    assert owner.get(path).json()["data"] != []
    others = [entry["id"] for entry in stranger.get(path).json()["data"]]
    assert others == ([stranger.key_id] if path == "/v1/keys" else [])


def test_another_teams_model_and_dataset_cannot_be_used(stranger: Api, things: dict[str, str]) -> None:
    spec = {"model": f"upload://{things['model_id']}", "dataset": f"upload://{things['dataset_id']}"}
    answer = stranger.submit({**spec, "method": "movement", "target_sparsity": 0.9})
    assert answer.status_code == 422
    assert {error["pointer"] for error in answer.json()["errors"]} == {"/model", "/dataset"}
