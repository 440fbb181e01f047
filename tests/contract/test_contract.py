"""A running service, its description and `secateur.Client` agree: each asks of the next what it promises."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator

from secateur import Client, resumable
from tests.contract.run import ask
from tests.contract.stage import Stage
from tests.unit.api.uploads import bert_files, sentences

pytestmark = pytest.mark.slow

#: Routes that no method of the client calls, and why.
NOT_CALLED = {
    "/hf/": "what the hub's own clients ask",
    "GET /healthz": "for what starts and watches the process; `health` asks whether it can serve",
    "GET /metrics": "for Prometheus",
    "GET /v1/schemas/report": "for whoever reads reports by their schema, which is also in the documentation",
    "GET /v1/jobs/{job_id}/archive": "for curl; `download` brings each file, and verifies it",
    "DELETE /v1/uploads/{upload_id}": "an upload is used up by the dataset or model that is made of it, or expires",
}
#: Headers that HTTP itself or its client sets.
OF_HTTP = {
    "host", "accept", "accept-encoding", "connection", "user-agent", "authorization", "content-type", "content-length",
    "transfer-encoding",
}  # fmt: skip

Described = dict[str, Any]


@pytest.fixture
def document(stage: Stage) -> Described:
    found: Described = json.loads(stage.document.read_text(encoding="utf-8"))
    return found


def written(folder: Path, files: Mapping[str, bytes]) -> Path:
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def calls(client: Client, stage: Stage, folder: Path) -> Mapping[str, Callable[[], object]]:
    """Each public method with arguments, in an order in which they work: those above make what those below ask for."""
    inputs = {name: client.job(stage.job)["spec"][name] for name in ("model", "dataset")}
    spec = {**inputs, "method": "movement", "target_sparsity": 0.9, "tags": {"of": "the client"}}
    sweep = client.submit_sweep(
        {"base": inputs, "grid": {"method": ["movement", "magnitude"], "target_sparsity": [0.5]}}
    )
    waiting, given_up = client.submit(spec)["id"], client.submit(spec)["id"]
    model = client.upload_model("tiny", written(folder / "tiny", bert_files()))["id"]
    (folder / "train.csv").write_bytes(sentences(50))
    dataset = client.upload_dataset("reviews", {"train": folder / "train.csv"})["id"]
    [webhook] = [each["id"] for each in client.webhooks()]
    [message] = [each["id"] for each in client.messages(webhook)]
    key = client.create_key("to rotate")["id"]
    layer = client.masks(stage.job)[0]["name"]
    now = datetime.now(UTC)
    return {
        "submit": lambda: client.submit(spec, idempotency_key="once"),
        "validate": lambda: client.validate(spec),
        "job": lambda: client.job(waiting),
        "jobs": lambda: list(
            client.jobs(status=["queued"], method="movement", tag="of:the client", q="m", sort="-name")
        ),
        "wait": lambda: client.wait(stage.job),
        "follow": lambda: list(client.follow(stage.job)),
        "events": lambda: client.events(stage.job),
        "attempts": lambda: client.attempts(stage.job),
        "logs": lambda: client.logs(stage.job, attempt=1, tail=5),
        "metrics": lambda: client.metrics(stage.job, name="train/loss", max_points=5),
        "masks": lambda: client.masks(stage.job),
        "mask_picture": lambda: client.mask_picture(stage.job, layer, side=4),
        "artifacts": lambda: client.artifacts(stage.job),
        "download": lambda: client.download(stage.job, folder / "pruned"),
        "report": lambda: client.report(stage.job),
        "download_report": lambda: client.download_report(stage.job, folder / "report.html"),
        "compare": lambda: client.compare([stage.job, waiting]),
        "compare_csv": lambda: client.compare_csv([stage.job, waiting]),
        "pin": lambda: client.pin(waiting),
        "unpin": lambda: client.unpin(waiting),
        "pause": lambda: client.pause(waiting),
        "resume": lambda: client.resume(waiting),
        "cancel": lambda: client.cancel(given_up),
        "retry": lambda: client.retry(given_up),
        "delete": lambda: client.delete(given_up),
        "submit_sweep": lambda: client.sweep(sweep["id"]),
        "sweep": lambda: client.sweep(sweep["id"]),
        "sweep_csv": lambda: client.sweep_csv(sweep["id"]),
        "sweeps": lambda: list(client.sweeps()),
        "cancel_sweep": lambda: client.cancel_sweep(sweep["id"]),
        "wait_for_sweep": lambda: client.wait_for_sweep(sweep["id"]),
        "delete_sweep": lambda: client.delete_sweep(sweep["id"]),
        "upload_dataset": lambda: client.dataset(dataset),
        "upload_model": lambda: client.model(model),
        "dataset": lambda: client.dataset(dataset),
        "datasets": lambda: list(client.datasets()),
        "delete_dataset": lambda: client.delete_dataset(dataset),
        "model": lambda: client.model(model),
        "models": lambda: list(client.models()),
        "delete_model": lambda: client.delete_model(model),
        "methods": client.methods,
        "create_webhook": lambda: client.create_webhook("https://hooks.example.org/", ["job.failed"], name="another"),
        "webhooks": lambda: list(client.webhooks()),
        "webhook": lambda: client.webhook(webhook),
        "update_webhook": lambda: client.update_webhook(webhook, {"events": ["job.started"]}),
        "rotate_webhook": lambda: client.rotate_webhook(webhook, overlap_s=60),
        "test_webhook": lambda: client.test_webhook(webhook),
        "messages": lambda: list(client.messages(webhook, "pending")),
        "message": lambda: client.message(webhook, message),
        "resend_message": lambda: client.resend_message(webhook, message),
        "delete_webhook": lambda: client.delete_webhook(webhook),
        "create_key": lambda: client.create_key("another", ["read"], expires_in_s=60),
        "keys": lambda: list(client.keys(revoked=True)),
        "key": lambda: client.key(key),
        "rotate_key": lambda: client.rotate_key(key, overlap_s=60),
        "revoke_key": lambda: client.revoke_key(key),
        "audit": lambda: list(client.audit(key_id=key, target_id=key, since=now)),
        "usage": lambda: client.usage(now.date(), now.date()),
        "health": client.health,
    }


@pytest.fixture
def answers(stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[httpx.Response]:
    """What a client that calls every method is answered, request by request."""
    monkeypatch.setattr(resumable, "LARGE", 100)  # bytes, so that the sample files come in parts
    answers: list[httpx.Response] = []
    with Client(stage.url, stage.key) as client:
        client._transport._http.event_hooks["response"] = [answers.append]  # where every request passes
        chosen = calls(client, stage, tmp_path)
        assert chosen.keys() == {name for name in dir(Client) if not name.startswith("_")} - {"base_url", "close"}
        for call in chosen.values():
            call()
    return answers


def test_every_route_is_called_as_it_is_described(document: Described, answers: list[httpx.Response]) -> None:
    wrong = [f"{name}: {fault}" for answer in answers for name, fault in faults(document, answer)]
    assert wrong == []
    called = {name for answer in answers for name, _ in [operation_of(document, answer.request)]}
    all_ = {f"{method.upper()} {path}" for path, item in document["paths"].items() for method in item}
    assert {name for name in all_ - called if not any(reason in name for reason in NOT_CALLED)} == set()
    assert {name for name in called if any(reason in name for reason in NOT_CALLED)} == set()


def operation_of(document: Described, request: httpx.Request) -> tuple[str, Described]:
    """The operation that a request is of."""
    [path] = [
        path for path, item in document["paths"].items() if request.method.lower() in item and fits(path, request)
    ]
    return f"{request.method} {path}", document["paths"][path][request.method.lower()]


def fits(path: str, request: httpx.Request) -> bool:
    """Whether a request goes to a path; an artifact's name may have slashes in it."""
    pattern = re.sub(r"\\{(\w+)\\}", lambda found: ".+" if found[1] == "name" else "[^/]+", re.escape(path))
    return re.fullmatch(pattern, request.url.path) is not None


def faults(document: Described, answer: httpx.Response) -> Iterator[tuple[str, str]]:
    """Where a request or its answer is not what the description says."""
    name, operation = operation_of(document, answer.request)
    known = {parameter["name"].lower() for parameter in operation.get("parameters", [])}
    sent = {*answer.request.url.params, *(set(answer.request.headers) - OF_HTTP)}
    yield from ((name, f"{each} is not described") for each in sorted(sent) if each.lower() not in known)
    media_type = answer.request.headers.get("content-type", "").partition(";")[0]
    if media_type:
        body = operation["requestBody"]["content"][media_type]
        if media_type == "application/json":
            yield from (
                (name, fault) for fault in _faults(document, body["schema"], json.loads(answer.request.content))
            )
    described = operation["responses"][str(answer.status_code)].get("content", {})
    media_type = answer.headers.get("content-type", "").partition(";")[0]
    if media_type and not {media_type, "*/*"} & described.keys():
        yield name, f"{answer.status_code} comes as {media_type}"
    elif media_type == "application/json" and media_type in described:
        yield from ((name, fault) for fault in _faults(document, described[media_type]["schema"], answer.json()))


def _faults(document: Described, schema: Described, value: object) -> Iterator[str]:
    for error in Draft202012Validator({**schema, "components": document["components"]}).iter_errors(value):
        yield str(error.message)


# Last in the file: it deletes what is there.
def test_a_slice_of_what_schemathesis_asks_finds_nothing(stage: Stage) -> None:
    outcome = ask(stage, seed=1, examples=1, further=["--phases", "examples,fuzzing"])
    assert outcome.ended_well, outcome.output
    assert outcome.refused_examples == [], "An example of a request is one that the service takes."
    assert (outcome.cases > 200, outcome.operations > 50) == (True, True), outcome.output
