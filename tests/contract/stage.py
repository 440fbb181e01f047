"""A really running service with something in it, and its description with examples that name what is there."""

import base64
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np

from store import Database, Outcome, Scope, claim_try, create_key, ensure_team, finish_try, open_database
from store.migrate import upgrade
from tests.serving import serving
from tests.unit.api.finishing import finish
from tests.unit.api.uploads import bert_files, sentences
from tests.valkey import new_server

#: How ids in examples end: they are not anyone's.
_EXAMPLE = "019a4f1e2d3c7b4a8f6e5d4c3b2a"


@dataclass(frozen=True)
class Stage:
    """A running service.

    Attributes:
        url: where it is.
        key: one with every scope.
        key_id: its id.
        job: one that is done, and has files.
        document: its OpenAPI description, in a file.
        folder: for what a run writes; removed with the stage.
    """

    url: str
    key: str
    key_id: str
    job: str
    document: Path
    folder: Path


@contextmanager
def staged() -> Iterator[Stage]:
    """Run a service over SQLite, in which a team has uploads, a sweep, and jobs that wait and that are done."""
    with tempfile.TemporaryDirectory(prefix="contract-") as place, new_server() as broker:
        folder = Path(place)
        database_url = f"sqlite:///{folder / 'secateur.db'}"
        upgrade(database_url)
        settings = {
            "database_url": database_url,
            "broker_url": f"redis://{broker.host}:{broker.port}/0",
            "hub_allow": "",
            "fetch_wait_s": 1,
        }
        database = open_database(database_url)
        try:
            with database.write() as session:
                team = ensure_team(session, "contract").id
                made, key = create_key(session, team, "all", list(Scope))
                other, _ = create_key(session, team, "other", [Scope.READ])
            with serving(folder, settings) as url:
                with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=60) as client:
                    there = _fill(client, database) | {"key_1001": other.id}
                    described = client.get("/openapi.json").text
                for example, real in there.items():
                    described = described.replace(example.replace("_", f"_{_EXAMPLE}"), real)
                document = folder / "openapi.json"
                document.write_text(described, encoding="utf-8")
                yield Stage(url, key, made.id, there["job_1001"], document, folder)
        finally:
            database.close()


def _fill(client: httpx.Client, database: Database) -> dict[str, str]:
    """Make what the examples name; returns the ids by those of the examples, without what these have in common."""
    files = bert_files()
    model = client.post("/v1/models", data={"name": "tiny"}, files=[("files", each) for each in files.items()]).json()
    splits = {"train": ("train.csv", sentences(400)), "validation": ("validation.csv", sentences(40))}
    dataset = client.post("/v1/datasets", data={"name": "reviews"}, files=splits).json()
    inputs = {"model": model["uri"], "dataset": dataset["uri"]}
    masks = {"bert.encoder.layer.0.attention.self.query": np.eye(8, dtype=bool)}
    jobs = []
    for seed in range(6):
        spec = {**inputs, "method": "movement", "target_sparsity": 0.9, "training": {"seed": seed}}
        jobs.append(client.post("/v1/jobs", json=spec).json()["id"])
    for _ in jobs[:4]:
        report = {"report.json": json.dumps({"version": 2}).encode(), "report.html": b"<!DOCTYPE html>"}
        finish(database, {"model/config.json": b"{}"} | report, masks)
    grid = {"method": ["movement", "magnitude"], "target_sparsity": [0.5, 0.9]}
    sweep = client.post("/v1/sweeps", json={"base": inputs, "grid": grid}).json()
    found = {"job_1001": jobs[0], "job_1002": jobs[-1], "ds_1001": dataset["id"], "mdl_1001": model["id"]}
    found |= {"swp_1001": sweep["id"], "upl_1001": _begin(client, "train.csv", bytes(33)).rpartition("/")[2]}
    found |= _tell(client, database)
    whole = {**files, "train.csv": sentences(40)}
    for number, (name, content) in enumerate(whole.items(), start=1002):
        place = _begin(client, name, content)
        headers = {"Tus-Resumable": "1.0.0", "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
        client.patch(place, headers=headers, content=content).raise_for_status()
        found[f"upl_{number}"] = place.rpartition("/")[2]
    return found


def _tell(client: httpx.Client, database: Database) -> dict[str, str]:
    """A webhook with a message that has failed."""
    webhook = client.post("/v1/webhooks", json={"url": "https://hooks.example.org/made"}).json()["id"]
    message = client.post(f"/v1/webhooks/{webhook}/test").json()["id"]
    with database.write() as session:
        claimed = claim_try(session, message, lease_s=60.0)
        assert claimed is not None
        finish_try(session, claimed, Outcome(error="No answer came."))
    return {"whk_1001": webhook, "msg_1001": message}


def _begin(client: httpx.Client, filename: str, content: bytes) -> str:
    named = f"filename {base64.b64encode(filename.encode()).decode()}"
    headers = {"Tus-Resumable": "1.0.0", "Upload-Length": str(len(content)), "Upload-Metadata": named}
    return client.post("/v1/uploads", headers=headers).raise_for_status().headers["Location"]
