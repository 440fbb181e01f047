"""hf:// models and datasets, through the hub's real client.

Another Secateur is the hub; and where it cannot misbehave as the hub may, a server that does nothing else.
"""

import shutil
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from store import Scope, Settings, create_key, ensure_team, open_database
from tests.service.api.conftest import Served, client_of
from tests.service.api.test_main_story import upload
from tests.unit.api.calling import Api, detail

pytestmark = pytest.mark.slow

Serve = Callable[..., Api]
"""Starts a service with SECATEUR_… settings, with the key of a new team."""


@dataclass(frozen=True)
class Hub:
    """A service as a hub, a key to it, and the names of what it has."""

    url: str
    token: str
    model: str
    dataset: str
    commit: str

    @property
    def spec(self) -> dict[str, Any]:
        return {"model": self.model, "dataset": self.dataset, "method": "movement", "target_sparsity": 0.9}


@pytest.fixture
def hub(served: Served, model_files: list[Path]) -> Iterator[Hub]:
    """A service that has a model and a dataset."""
    with client_of(served) as client:
        names = upload(client, model_files)
        model, dataset = (str(names[kind]).replace("upload://", f"hf://{kind}s/") for kind in ("model", "dataset"))
        commit = client.get(f"/hf/api/models/{model.removeprefix('hf://')}").json()["sha"]
        yield Hub(f"{served.url}/hf", client.headers["authorization"].removeprefix("Bearer "), model, dataset, commit)


@pytest.fixture
def serve(migrated_sqlite_file: Path, tmp_path: Path) -> Iterator[Serve]:
    """Starts services in this process, which share a database and a cache."""
    url = f"sqlite:///{shutil.copy(migrated_sqlite_file, tmp_path / 'asking.db')}"
    database = open_database(url)
    with ExitStack() as open_:
        open_.callback(database.close)

        def start(**settings: Any) -> Api:
            all_ = {"database_url": url, "broker_url": "redis://127.0.0.1:1/0", "hub_cache_dir": tmp_path / "cache"}
            app = create_app(Settings(**{**all_, **settings}))
            client = open_.enter_context(TestClient(app, raise_server_exceptions=False))
            with database.write() as session:
                team = ensure_team(session, uuid.uuid4().hex).id
                _, key = create_key(session, team, "all", list(Scope))
            return Api(client, database, team, key)

        yield start


def test_a_job_is_pinned_to_the_commit_of_its_model_and_dataset(hub: Hub, serve: Serve) -> None:
    api = serve(hub_endpoint=hub.url, hub_token=hub.token)
    job = api.submit(hub.spec)
    assert job.status_code == 202, job.text
    pinned = job.json()["spec"]
    assert pinned["model"] == f"{hub.model}@{hub.commit}"
    assert pinned["dataset"].startswith(f"{hub.dataset}@")
    [model] = api.get("/v1/models").json()["data"]
    assert (model["source"], model["name"]) == (pinned["model"], hub.model.removeprefix("hf://"))
    [dataset] = api.get("/v1/datasets").json()["data"]
    assert (dataset["source"], [split["rows"] for split in dataset["splits"]]) == (pinned["dataset"], [400, 60])

    bare = api.submit({**hub.spec, "model": f"{hub.model.removeprefix('hf://')}@{hub.commit}"})
    assert (bare.status_code, bare.json()["spec"]["model"]) == (202, pinned["model"])
    assert len(api.get("/v1/models").json()["data"]) == 1, "one commit is taken in once"
    gone = serve(hub_endpoint="http://127.0.0.1:1")
    assert gone.submit({**hub.spec, **{name: pinned[name] for name in ("model", "dataset")}}).status_code == 503
    other = Api(gone.client, api.database, api.team, api.headers["Authorization"].removeprefix("Bearer "))
    again = other.submit({**hub.spec, **{name: pinned[name] for name in ("model", "dataset")}})
    assert again.status_code == 202, "what is in the team's store by its commit needs no hub"


def test_a_cache_that_is_filled_serves_other_teams_offline(hub: Hub, serve: Serve) -> None:
    empty = serve(hub_endpoint=hub.url, hub_offline=True)
    assert "offline" in detail(empty.submit(hub.spec), "/model")
    assert serve(hub_endpoint=hub.url, hub_token=hub.token).submit(hub.spec).status_code == 202
    offline = serve(hub_endpoint=hub.url, hub_offline=True)
    job = offline.submit(hub.spec)
    assert job.status_code == 202, job.text
    assert job.json()["spec"]["model"] == f"{hub.model}@{hub.commit}"


@pytest.mark.parametrize(
    ("changes", "settings", "remedy"),
    [
        ({"model": "hf://models/mdl_" + "0" * 32}, {}, "there is no model"),
        ({"model": "hf://google-bert/bert-base-uncased"}, {}, "there is no model"),
        ({"model": "{model}@v2"}, {}, "has no revision 'v2'"),
        ({"model": "{model}@" + "0" * 40}, {}, "has no revision"),
        ({}, {"hub_token": "sec_wrong"}, "SECATEUR_HUB_TOKEN"),
        ({}, {"hub_token": None}, "there is no model"),
        ({}, {"hub_allow": "google-bert/*, datasets/*"}, "SECATEUR_HUB_ALLOW"),
        ({}, {"hub_allow": ""}, "SECATEUR_HUB_ALLOW"),
        ({}, {"max_model_bytes": 1000}, "SECATEUR_MAX_MODEL_BYTES"),
    ],
)
def test_what_cannot_be_had_is_refused_with_its_field(
    hub: Hub, serve: Serve, changes: dict[str, str], settings: dict[str, Any], remedy: str
) -> None:
    api = serve(**{"hub_endpoint": hub.url, "hub_token": hub.token, **settings})
    spec = {name: str(value).replace("{model}", hub.model) for name, value in changes.items()}
    refused = api.submit({**hub.spec, **spec})
    assert refused.status_code == 422, refused.text
    assert remedy in detail(refused, "/model")
    assert hub.token not in refused.text
    assert api.get("/v1/models").json()["data"] == []


class Misbehaving(BaseHTTPRequestHandler):
    """A hub whose repositories are not as they should be: gated, astray, old, huge, slow, or of another family."""

    server: "Wild"

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        name = self.path.split("a/", 2)[-1].split("/")[0]
        if name == "slow":
            self.server.over.wait(120)
        if "/api/" in self.path:
            files = ["config.json", "vocab.txt", "pytorch_model.bin" if name == "old" else "model.safetensors"]
            size = 5_000_000_000 if name == "huge" else 2
            siblings = ", ".join(f'{{"rfilename": "{file}", "size": {size}}}' for file in files)
            self._answer(200, f'{{"id": "a/{name}", "sha": "{"1" * 40}", "siblings": [{siblings}]}}')
        elif name == "gated":
            self._answer(403, "", {"X-Error-Code": "GatedRepo"})
        elif name == "astray":
            self._answer(302, "", {"Location": "http://localhost:1/secret", "X-Linked-Size": "2"})
        else:
            self._answer(200, '{"model_type": "mamba"}')

    do_HEAD = do_GET  # noqa: N815 - the name is http.server's

    def _answer(self, status: int, body: str, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        sent = {"ETag": '"1"', "X-Repo-Commit": "1" * 40, "Content-Length": str(len(body)), **(headers or {})}
        for name, value in sent.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Wild(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Misbehaving)
        self.over = threading.Event()
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@pytest.fixture
def wild() -> Iterator[Wild]:
    """Such a hub."""
    with _serving(Wild()) as server:
        yield server


@contextmanager
def _serving(server: Wild) -> Iterator[Wild]:
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server
    finally:
        server.over.set()
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize(
    ("model", "remedy"),
    [
        ("a/gated", "is gated. The operator accepts its terms there and sets SECATEUR_HUB_TOKEN"),
        (
            "a/astray",
            "leads to localhost, which this service does not call. The operator adds it to SECATEUR_HUB_HOSTS",
        ),
        ("a/old", "no *.safetensors"),
        ("a/mamba", "mamba"),
        ("a/huge", "config.json is larger than 4,194,304 bytes"),
    ],
)
def test_models_that_no_job_can_use_are_told_before_they_have_come(
    wild: Wild, serve: Serve, model: str, remedy: str
) -> None:
    refused = serve(hub_endpoint=wild.url).submit(
        {"model": model, "dataset": f"upload://ds_{'0' * 32}", "method": "movement", "target_sparsity": 0.9}
    )
    assert remedy in detail(refused, "/model")
    assert not [path for path in wild.asked if path.endswith(".safetensors")]


def test_a_slow_hub_holds_up_nobody_else(wild: Wild, serve: Serve) -> None:
    api = serve(hub_endpoint=wild.url, fetch_wait_s=120.0)
    spec = {"model": "a/slow", "dataset": f"upload://ds_{'0' * 32}", "method": "movement", "target_sparsity": 0.9}
    with ThreadPoolExecutor(50) as submits:
        waiting = [submits.submit(api.submit, {**spec, "model": f"a/slow@v{number}"}) for number in range(50)]
        while not wild.asked:
            time.sleep(0.05)
        assert api.get("/v1/jobs").json()["data"] == [], "though more requests wait than there are threads for answers"
        assert not any(each.done() for each in waiting)
        wild.over.set()
        assert {each.result().status_code for each in waiting} == {422}


def test_who_waited_long_enough_is_told_to_ask_again(wild: Wild, serve: Serve) -> None:
    spec = {"model": "a/slow", "dataset": f"upload://ds_{'0' * 32}", "method": "movement", "target_sparsity": 0.9}
    answer = serve(hub_endpoint=wild.url, fetch_wait_s=0.1).submit(spec)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert answer.json()["type"] == "urn:secateur:problem:fetching"
    wild.over.set()


def test_what_was_still_on_its_way_is_there_for_who_asks_again(hub: Hub, serve: Serve) -> None:
    api = serve(hub_endpoint=hub.url, hub_token=hub.token, fetch_wait_s=0.0)
    answers: list[Any] = []
    until = time.monotonic() + 60
    while not answers or (answers[-1].status_code == 503 and time.monotonic() < until):
        answers.append(api.submit(hub.spec))
        time.sleep(0.05)
    assert answers[0].json()["type"] == "urn:secateur:problem:fetching"
    assert answers[-1].status_code == 202, answers[-1].text
    assert len(api.get("/v1/jobs").json()["data"]) == 1


def test_a_hub_that_is_away_is_a_503(serve: Serve, hub: Hub) -> None:
    answer = serve(hub_endpoint="http://127.0.0.1:1").submit(hub.spec)
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:secateur:problem:unavailable")
    assert f"The model {hub.model.removeprefix('hf://')!r} is looked for on the hub" in answer.json()["detail"]
