"""What a finished job left: figures, masks and files, also in part and only when they are new."""

import base64
import email
import email.policy
import hashlib
import io
import tarfile
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from jsonschema import Draft202012Validator

from store import Database
from tests.unit.api.calling import Api, pointers
from tests.unit.api.conftest import new_team
from tests.unit.api.finishing import finish
from tests.unit.api.uploads import bert_files, sentences

CONTENT = bytes(range(256)) * 40_000  # 10 MB: three chunks
NAME = "model/model.safetensors"
MASKS = {
    "encoder.layer.0.output.dense": np.random.default_rng(1).random((30, 41)) < 0.2,
    "encoder.layer.1.output.dense": np.tril(np.ones((8, 8), dtype=np.bool_)),
}


@pytest.fixture(scope="module")
def api(client: TestClient, database: Database) -> Api:
    """One team for all tests here: they only read."""
    return new_team(client, database)


@pytest.fixture(scope="module")
def job(api: Api) -> str:
    """The path of a job that has succeeded."""
    uris = {
        "model": api.upload_model(bert_files()).json()["uri"],
        "dataset": api.upload_dataset(train=("t.csv", sentences(400)), test=("e.csv", sentences(40))).json()["uri"],
    }
    # before whatever other tests have left in the queue
    spec = {**uris, "method": "movement", "target_sparsity": 0.9, "priority": 1000}
    assert api.submit(spec).status_code == 202
    return finish(api.database, {NAME: CONTENT, "report.json": b"{}", "report.html": b"<p>fine</p>"}, MASKS)


def test_a_finished_job_shows_its_figures(api: Api, job: str) -> None:
    view = api.get(job).json()
    assert view["status"] == "succeeded"
    assert view["result"] == {"eval": {"accuracy": 0.75}}
    assert view["progress"] == {"step": 10, "total_steps": 156, "phase": "pruning", "density": 0.5, "eta_s": None}
    assert api.call("POST", f"{job}/cancel").status_code == 409


def test_a_report_is_looked_at_in_a_sandbox(api: Api, job: str) -> None:
    page, data = (api.get(f"{job}/artifacts/report.{kind}") for kind in ("html", "json"))
    assert page.headers["content-type"].startswith("text/html")
    assert page.headers["content-disposition"].startswith("inline")
    assert data.headers["content-disposition"].startswith("attachment")
    policy = [part.strip() for part in page.headers["content-security-policy"].split(";")]
    assert policy[:2] == ["sandbox", "default-src 'none'"]
    assert "frame-ancestors 'none'" in policy
    assert not [part for part in policy if part.startswith("script-src")]
    assert data.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert page.headers["x-content-type-options"] == "nosniff"


def test_the_schema_of_reports_is_told(api: Api) -> None:
    schema = api.get("/v1/schemas/report").json()
    Draft202012Validator.check_schema(schema)
    assert schema["$id"] == "urn:secateur:report:2"


def test_series_are_thinned_and_named(api: Api, job: str) -> None:
    series = api.get(f"{job}/metrics").json()["series"]
    assert set(series) == {"train/loss", "eval/accuracy"}
    assert [point[0] for point in series["train/loss"]] == list(range(10))
    thin = api.get(f"{job}/metrics", params={"name": "train/loss", "max_points": 4}).json()["series"]
    assert list(thin) == ["train/loss"]
    assert [point[0] for point in thin["train/loss"]] == [0, 3, 6, 9]
    assert pointers(api.get(f"{job}/metrics?max_points=1")) == {"/query/max_points"}


def test_masks_are_a_table_and_a_picture(api: Api, job: str) -> None:
    name, mask = next(iter(MASKS.items()))
    table = api.get(f"{job}/masks").json()["data"]
    assert table[0] == {
        "name": name,
        "shape": [30, 41],
        "kept": int(mask.sum()),
        "total": 1230,
        "density": int(mask.sum()) / 1230,
    }
    whole = api.get(f"{job}/masks", params={"layer": name}).json()["picture"]
    assert np.array_equal(np.array(whole["density"]), mask.astype(float)), "a small matrix is shown weight by weight"
    coarse = api.get(f"{job}/masks", params={"layer": name, "side": 4}).json()["picture"]["density"]
    rows, cols = np.array_split(np.arange(30), [7, 15, 22]), np.array_split(np.arange(41), [10, 20, 30])
    expected = [[mask[np.ix_(r, c)].mean() for c in cols] for r in rows]
    assert np.allclose(coarse, expected, atol=1e-4)
    triangle = api.get(f"{job}/masks", params={"layer": "encoder.layer.1.output.dense", "side": 2}).json()
    assert triangle["picture"]["density"] == [[0.625, 0.0], [1.0, 0.625]]
    assert pointers(api.get(f"{job}/masks?layer=nothing")) == {"/query/layer"}
    assert pointers(api.get(f"{job}/masks?layer={name}&side=0")) == {"/query/side"}


def test_files_are_listed_and_downloaded_with_their_digest(api: Api, job: str) -> None:
    listed = {file["name"]: file for file in api.get(f"{job}/artifacts").json()["data"]}
    assert set(listed) == {NAME, "report.json", "report.html", "masks.safetensors"}
    digest = hashlib.sha256(CONTENT)
    assert (listed[NAME]["size"], listed[NAME]["sha256"]) == (len(CONTENT), digest.hexdigest())
    answer = api.get(listed[NAME]["url"])
    assert answer.status_code == 200
    assert answer.content == CONTENT
    assert answer.headers["etag"] == f'"{digest.hexdigest()}"'
    assert answer.headers["content-length"] == str(len(CONTENT))
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["repr-digest"] == f"sha-256=:{base64.b64encode(digest.digest()).decode()}:"
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_head_answers_everything_but_the_bytes(api: Api, job: str) -> None:
    answer = api.call("HEAD", f"{job}/artifacts/{NAME}")
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-length"] == str(len(CONTENT))
    assert api.call("HEAD", f"{job}/artifacts/none").status_code == 404


def test_a_known_file_is_a_304(api: Api, job: str) -> None:
    path = f"{job}/artifacts/{NAME}"
    etag = api.get(path).headers["etag"]
    for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        answer = api.get(path, headers={"If-None-Match": known})
        assert (answer.status_code, answer.content) == (304, b""), known
    assert api.get(path, headers={"If-None-Match": '"other"'}).status_code == 200


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=100-199", 100, 200),
        ("bytes=4194300-4194310", 4194300, 4194311),  # over the edge of a chunk
        ("bytes=10239990-", 10239990, 10240000),
        ("bytes=-10", 10239990, 10240000),
        ("bytes=-99999999", 0, 10240000),
        ("bytes=5-99999999", 5, 10240000),
    ],
)
def test_a_range_is_a_206_with_just_these_bytes(api: Api, job: str, asked: str, start: int, end: int) -> None:
    answer = api.get(f"{job}/artifacts/{NAME}", headers={"Range": asked})
    assert answer.status_code == 206
    assert answer.content == CONTENT[start:end]
    assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/{len(CONTENT)}"
    assert answer.headers["content-length"] == str(end - start)


@pytest.mark.parametrize("asked", ["bytes=10240000-", "bytes=-0", "bytes=99999999-999999999"])
def test_a_range_outside_the_file_is_a_416(api: Api, job: str, asked: str) -> None:
    answer = api.get(f"{job}/artifacts/{NAME}", headers={"Range": asked})
    assert answer.status_code == 416
    assert answer.headers["content-range"] == "bytes */10240000"


@pytest.mark.parametrize(
    ("asked", "spans"),
    [
        ("bytes=0-1,5-6", [(0, 2), (5, 7)]),
        ("bytes=-3, 4194300-4194310 ,0-0", [(0, 1), (4194300, 4194311), (10239997, 10240000)]),  # ascending
        ("bytes=0-1,99999999-", [(0, 2)]),  # what lies outside is left out
        ("bytes=0-9,5-20,21-30", [(0, 31)]),  # what overlaps or touches is one
        ("bytes=0-1,,7-8,", [(0, 2), (7, 9)]),  # lists may have empty elements
    ],
)
def test_several_ranges_are_parts_of_one_answer(api: Api, job: str, asked: str, spans: list[tuple[int, int]]) -> None:
    answer = api.get(f"{job}/artifacts/{NAME}", headers={"Range": asked})
    assert answer.status_code == 206
    assert answer.headers["content-length"] == str(len(answer.content))
    assert "repr-digest" in answer.headers
    if len(spans) == 1:
        [(start, end)] = spans
        assert (answer.content, "multipart" in answer.headers["content-type"]) == (CONTENT[start:end], False)
        return
    raw = b"Content-Type: " + answer.headers["content-type"].encode() + b"\r\n\r\n" + answer.content
    parts: Any = email.message_from_bytes(raw, policy=email.policy.HTTP).get_payload()
    assert [(part["Content-Range"], part["Content-Type"]) for part in parts] == [
        (f"bytes {start}-{end - 1}/{len(CONTENT)}", "application/octet-stream") for start, end in spans
    ]
    assert [part.get_payload(decode=True) for part in parts] == [CONTENT[start:end] for start, end in spans]


@pytest.mark.parametrize(
    "asked",
    ["rows=0-1", "bytes=-", "bytes=5-2", "nonsense", "bytes=", "bytes=0-1,x", "bytes=" + "0-0," * 33, "bytes=0-1;2-3"],
)
def test_ranges_that_are_none_get_the_whole_file(api: Api, job: str, asked: str) -> None:
    answer = api.get(f"{job}/artifacts/report.json", headers={"Range": asked})
    assert (answer.status_code, "content-range" in answer.headers) == (200, False)


def test_only_a_get_of_this_version_has_parts(api: Api, job: str) -> None:
    path, one = f"{job}/artifacts/{NAME}", {"Range": "bytes=0-1"}
    etag = api.get(path, headers=one).headers["etag"]
    assert api.call("HEAD", path, headers=one).headers["content-length"] == "10240000"
    assert api.get(path, headers={**one, "If-Range": etag}).status_code == 206
    for other in ('"other"', f"W/{etag}", "Wed, 21 Oct 2026 07:28:00 GMT"):
        assert api.get(path, headers={**one, "If-Range": other}).status_code == 200


def test_results_of_another_team_are_not_found(api: Api, job: str) -> None:
    other = api.as_other_team()
    for path in ("", "/events", "/metrics", "/masks", "/artifacts", f"/artifacts/{NAME}"):
        assert other.get(job + path).status_code == 404, path
    assert other.call("POST", f"{job}/cancel").status_code == 404
    assert other.get("/v1/jobs").json()["data"] == []


def test_all_files_come_as_one_archive(api: Api, job: str) -> None:
    answer = api.get(f"{job}/archive")
    name = job.rpartition("/")[2]
    assert answer.status_code == 200
    assert answer.headers["content-length"] == str(len(answer.content))
    assert answer.headers["content-disposition"] == f'attachment; filename="{name}.tar"'
    listed = api.get(f"{job}/artifacts").json()["data"]
    with tarfile.open(fileobj=io.BytesIO(answer.content)) as archive:
        found = {entry.name: archive.extractfile(entry) for entry in archive}
        for file in listed:
            opened = found.pop(f"{name}/{file['name']}")
            assert opened is not None
            assert hashlib.sha256(opened.read()).hexdigest() == file["sha256"]
    assert found == {}
    head = api.call("HEAD", f"{job}/archive")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(answer.content))
    assert api.get(f"{job}/archive", headers={"If-None-Match": answer.headers["etag"]}).status_code == 304
    assert api.as_other_team().get(f"{job}/archive").status_code == 404


def test_an_archive_that_broke_off_goes_on_anywhere(api: Api, job: str) -> None:
    whole = api.get(f"{job}/archive")
    size = len(whole.content)
    edges = {0, 1, 511, 512, 513, size // 3, size - 1025, size - 1024, size - 1}
    for start in edges:
        headers = {"Range": f"bytes={start}-", "If-Range": whole.headers["etag"]}
        rest = api.get(f"{job}/archive", headers=headers)
        assert (rest.status_code, rest.headers["content-range"]) == (206, f"bytes {start}-{size - 1}/{size}")
        assert rest.content == whole.content[start:]
    middle = api.get(f"{job}/archive", headers={"Range": f"bytes=700-{size - 700}"})
    assert middle.content == whole.content[700 : size - 699]
    assert api.get(f"{job}/archive", headers={"Range": f"bytes={size}-"}).status_code == 416
    assert whole.headers["accept-ranges"] == "bytes"


@pytest.mark.parametrize("asked", ["archive", "artifacts/report.json"])
def test_who_asks_for_files_of_a_job_without_is_told_why(api: Api, model: str, dataset: str, asked: str) -> None:
    spec = {"model": model, "dataset": dataset, "method": "movement", "target_sparsity": 0.9}
    path = api.submit(spec).headers["location"]
    refused = api.get(f"{path}/{asked}")
    assert (refused.status_code, "is queued, and has no files" in refused.json()["detail"]) == (404, True)
    api.call("POST", f"{path}/cancel")
