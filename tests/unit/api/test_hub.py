"""Jobs, models and datasets as repositories of the Hugging Face Hub's API: what its clients read, and its refusals."""

import hashlib

import numpy as np
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import update

from store import Database, Job
from store.clock import db_now
from tests.unit.api.calling import Api
from tests.unit.api.conftest import new_team
from tests.unit.api.finishing import finish
from tests.unit.api.uploads import bert_files, sentences

FILES = {"model/config.json": b'{"model_type": "bert"}', "model/model.safetensors": bytes(9000), "report.json": b"{}"}


@pytest.fixture(scope="module")
def api(client: TestClient, database: Database) -> Api:
    """One team for all tests here: they only read."""
    return new_team(client, database)


@pytest.fixture(scope="module")
def spec(api: Api) -> dict[str, object]:
    """The spec of a job, before whatever other tests have left in the queue."""
    uris = {
        "model": api.upload_model(bert_files()).json()["uri"],
        "dataset": api.upload_dataset(train=("t.csv", sentences(400))).json()["uri"],
    }
    return {**uris, "method": "movement", "target_sparsity": 0.9, "priority": 1000}


@pytest.fixture(scope="module")
def job(api: Api, spec: dict[str, object]) -> str:
    """The repository of a job that has succeeded."""
    assert api.submit(spec).status_code == 202
    mask = {"encoder.layer.0.output.dense": np.eye(8, dtype=np.bool_)}
    return finish(api.database, FILES, mask).replace("/v1/", "")


def test_a_jobs_repository_is_its_model(api: Api, job: str) -> None:
    info = api.get(f"/hf/api/models/{job}").json()
    assert (info["id"], info["author"], info["private"], info["gated"]) == (job, "jobs", True, False)
    assert [file["rfilename"] for file in info["siblings"]] == ["config.json", "model.safetensors"]
    detailed = api.get(f"/hf/api/models/{job}/revision/{info['sha']}", params={"blobs": True}).json()
    sha256 = hashlib.sha256(FILES["model/model.safetensors"]).hexdigest()
    weights = detailed["siblings"][1]
    assert (weights["size"], weights["lfs"]["sha256"]) == (9000, sha256)
    file = api.get(f"/hf/{job}/resolve/main/model.safetensors")
    assert file.content == FILES["model/model.safetensors"]
    assert file.headers["etag"] == file.headers["x-linked-etag"] == f'"{sha256}"'
    assert file.headers["x-linked-size"] == "9000"
    assert file.headers["x-repo-commit"] == info["sha"]


def test_the_commit_stands_for_names_and_contents(api: Api, job: str) -> None:
    written = sorted((name.removeprefix("model/"), raw) for name, raw in FILES.items() if name.startswith("model/"))
    lines = "".join(f"{name}\0{hashlib.sha256(raw).hexdigest()}\n" for name, raw in written)
    commit = api.get(f"/hf/api/models/{job}").json()["sha"]
    assert commit == hashlib.sha256(lines.encode()).hexdigest()[:40]


def test_git_would_give_the_pointers_the_same_ids(api: Api, job: str) -> None:
    sha256 = hashlib.sha256(FILES["model/config.json"]).hexdigest()
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize 22\n".encode()
    [config, _] = api.get(f"/hf/api/models/{job}/tree/main").json()
    assert config == {
        "type": "file",
        "path": "config.json",
        "size": 22,
        "oid": hashlib.sha1(b"blob %d\0" % len(pointer) + pointer, usedforsecurity=False).hexdigest(),
        "lfs": {"oid": sha256, "size": 22, "pointerSize": len(pointer)},
    }


def test_a_dataset_has_its_splits_in_a_folder(api: Api, spec: dict[str, object]) -> None:
    dataset = f"/hf/api/datasets/datasets/{str(spec['dataset']).removeprefix('upload://')}"
    split = "data/train-00000-of-00001.parquet"
    assert [entry["path"] for entry in api.get(f"{dataset}/tree/main").json()] == ["data"]
    assert [entry["path"] for entry in api.get(f"{dataset}/tree/main/data").json()] == [split]
    everything = api.get(f"{dataset}/tree/main", params={"recursive": True}).json()
    assert [(entry["type"], entry["path"]) for entry in everything] == [("directory", "data"), ("file", split)]
    asked = api.call("POST", f"{dataset}/paths-info/main", data={"paths": [split, "data", "no"], "expand": True})
    assert [entry["path"] for entry in asked.json()] == [split, "data"]
    as_json = api.call("POST", f"{dataset}/paths-info/main", json={"paths": [split]})
    assert as_json.status_code == 415, "it would be answered as if nothing had been asked for"
    assert api.get(f"{dataset}/tree/main/dat").headers["x-error-code"] == "EntryNotFound"


def test_head_ranges_and_conditions_work_as_with_artifacts(api: Api, job: str) -> None:
    path = f"/hf/{job}/resolve/main/model.safetensors"
    head = api.call("HEAD", path)
    assert (head.status_code, head.headers["content-length"], head.content) == (200, "9000", b"")
    part = api.get(path, headers={"Range": "bytes=8990-"})
    assert (part.status_code, part.headers["content-range"]) == (206, "bytes 8990-8999/9000")
    assert api.get(path, headers={"If-None-Match": head.headers["etag"]}).status_code == 304


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("{job}/resolve/main/masks.safetensors", "EntryNotFound"),
        ("{job}/resolve/main/..%2Freport.json", "EntryNotFound"),
        ("{job}/resolve/main/%00", "EntryNotFound"),
        ("{job}/resolve/dev/config.json", "RevisionNotFound"),
        ("api/models/{job}/revision/" + "0" * 40, "RevisionNotFound"),
        ("api/models/jobs/job_" + "0" * 32, "RepoNotFound"),
        ("api/models/google-bert/bert-base-uncased", "RepoNotFound"),
        ("api/datasets/{job}", "RepoNotFound"),
        ("api/models/gpt2", "RepoNotFound"),
        ("api/datasets/squad/tree/main", "RepoNotFound"),
        ("api/models/gpt2/revision/main", "RepoNotFound"),
        ("gpt2/resolve/main/config.json", "RepoNotFound"),
    ],
)
def test_what_is_not_there_is_said_in_headers(api: Api, job: str, path: str, code: str) -> None:
    for method in ("GET",) if path.startswith("api/") else ("GET", "HEAD"):
        answer = api.call(method, f"/hf/{path.replace('{job}', job)}")
        assert (answer.status_code, answer.headers["x-error-code"]) == (404, code)
        assert answer.headers["x-error-message"].isascii()
        # By the commit clients remember what is not there.
        assert ("x-repo-commit" in answer.headers) is (code == "EntryNotFound")


def test_keys_are_asked_for_in_the_hubs_words(client: TestClient, api: Api, job: str) -> None:
    path = f"/hf/{job}/resolve/main/config.json"
    none = client.get(path)
    assert (none.status_code, none.headers["x-error-code"]) == (401, "RepoNotFound")
    assert none.headers["x-error-message"] == "Invalid username or password."
    wrong = client.get(path, headers={"Authorization": "Bearer hf_no"})
    assert (wrong.status_code, wrong.headers.get("x-error-code")) == (401, None)
    assert wrong.headers["x-error-message"] == "Invalid credentials in Authorization header"
    unable = api.with_scopes("submit").get(path)
    assert (unable.status_code, unable.headers["x-error-message"]) == (403, unable.json()["detail"])


def test_a_job_without_a_model_says_why(api: Api, spec: dict[str, object]) -> None:
    job = api.submit({**spec, "priority": -1000}).json()["id"]
    waiting = api.get(f"/hf/api/models/jobs/{job}")
    assert (waiting.status_code, waiting.headers["x-error-code"]) == (404, "RevisionNotFound")
    assert "is queued" in waiting.headers["x-error-message"]
    with api.database.write() as session:
        session.execute(update(Job).where(Job.id == job).values(files_expired_at=db_now()))
    gone = api.call("HEAD", f"/hf/jobs/{job}/resolve/main/config.json")
    assert (gone.status_code, gone.headers["x-error-code"]) == (410, "RevisionNotFound")
    assert "retention" in gone.headers["x-error-message"]
