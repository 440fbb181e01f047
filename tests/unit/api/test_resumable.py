"""Uploads in parts, as tus 1.0.0 has them, and what is made of whole ones."""

import base64
import hashlib
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from httpx2 import Response
from sqlalchemy import update

from api.datasets import service as datasets
from store import Database, Upload
from store.clock import db_now
from store.uploads import expire_uploads
from tests.unit.api.calling import Api, detail, pointers
from tests.unit.api.uploads import bert_files, sentences

TUS = {"Tus-Resumable": "1.0.0"}
CONTENT = np.random.default_rng(0).bytes(1_500_000)


def begin(api: Api, content: bytes, filename: str = "model.safetensors", **headers: str) -> Response:
    name = base64.b64encode(filename.encode()).decode()
    given = {**TUS, "Upload-Length": str(len(content)), "Upload-Metadata": f"filename {name},type bW9kZWw=", **headers}
    return api.call("POST", "/v1/uploads", headers=given)


def patch(api: Api, path: str, offset: int, body: bytes, **headers: str) -> Response:
    given = {**TUS, "Upload-Offset": str(offset), "Content-Type": "application/offset+octet-stream", **headers}
    return api.call("PATCH", path, headers=given, content=body)


def whole(api: Api, content: bytes, filename: str) -> str:
    """Upload a file in one part; return its id."""
    path = begin(api, content, filename).headers["location"]
    assert patch(api, path, 0, content).status_code == 204
    return path.rpartition("/")[2]


def test_a_file_comes_in_parts(api: Api) -> None:
    begun = begin(api, CONTENT)
    assert begun.status_code == 201
    path = begun.headers["location"]
    assert path == begun.json()["url"]
    for start, end in ((0, 1), (1, 700_000), (700_000, len(CONTENT))):
        head = api.call("HEAD", path, headers=TUS)
        assert (head.headers["upload-offset"], head.headers["upload-length"]) == (str(start), str(len(CONTENT)))
        assert (head.headers["cache-control"], head.headers["tus-resumable"]) == ("no-store", "1.0.0")
        assert head.headers["upload-metadata"] == "filename bW9kZWwuc2FmZXRlbnNvcnM="
        assert api.get(path).json()["sha256"] is None
        answer = patch(api, path, start, CONTENT[start:end])
        assert (answer.status_code, answer.headers["upload-offset"]) == (204, str(end))
        assert answer.headers["upload-expires"].endswith(" GMT")
    state = api.get(path).json()
    assert state["sha256"] == hashlib.sha256(CONTENT).hexdigest()
    assert patch(api, path, len(CONTENT), b"").status_code == 204
    more = patch(api, path, len(CONTENT), b"x")
    assert (more.status_code, "More has come than the 1,500,000 bytes" in more.text) == (413, True)
    assert patch(api, path, 0, b"x").status_code == 409
    assert api.get(path).json() == state, "nothing is added to what is whole"


def test_what_is_spoken_is_told_to_everybody(client: TestClient) -> None:
    told = client.options("/v1/uploads")
    assert (told.status_code, told.headers["tus-version"]) == (204, "1.0.0")
    assert told.headers["tus-extension"] == "creation,expiration,termination"
    assert told.headers["tus-max-size"] == "2000000"


def test_a_model_is_made_of_uploads_and_files_together(api: Api) -> None:
    files = bert_files()
    uploads = [whole(api, files.pop("model.safetensors"), "model.safetensors")]
    made = api.call(
        "POST",
        "/v1/models",
        data={"name": "tiny", "files": uploads},
        files=[("files", (name, content)) for name, content in files.items()],
    )
    assert made.status_code == 201, made.text
    direct = api.upload_model(bert_files()).json()
    assert made.json()["files"] == direct["files"]
    assert api.get(f"/v1/uploads/{uploads[0]}").status_code == 404, "it is used up"


def test_a_dataset_is_made_of_uploads(api: Api) -> None:
    splits = {split: whole(api, sentences(rows), f"{split}.csv") for split, rows in (("train", 400), ("test", 40))}
    # A form without any file is sent as one all the same.
    form = [(name, (None, text)) for name, text in {"name": "reviews", **splits}.items()]
    made = api.call("POST", "/v1/datasets", files=form)
    assert made.status_code == 201, made.text
    assert [(split["name"], split["rows"]) for split in made.json()["splits"]] == [("train", 400), ("test", 40)]


def test_what_is_refused_keeps_its_uploads(api: Api) -> None:
    upload = whole(api, b"text,label\n", "train.csv")
    form = [("name", (None, "reviews")), ("train", (None, upload))]
    for _ in range(2):
        refused = api.call("POST", "/v1/datasets", files=form)
        assert (refused.status_code, pointers(refused)) == (422, {"/train"})


def test_an_upload_counts_as_often_as_it_is_named(api: Api) -> None:
    upload = whole(api, bytes(1_500_000), "train.csv")
    form = [("name", (None, "reviews")), ("train", (None, upload)), ("test", (None, upload))]
    assert api.call("POST", "/v1/datasets", files=form).status_code == 413


def test_what_was_made_of_an_upload_that_another_request_used_up_is_told(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = whole(api, sentences(400), "train.csv")
    form = [("name", (None, "reviews")), ("train", (None, upload))]
    take_in = datasets.take_in

    def overtaken(*args: Any, **kwargs: Any) -> Any:
        monkeypatch.setattr(datasets, "take_in", take_in)
        assert api.call("POST", "/v1/datasets", files=form).status_code == 201
        return take_in(*args, **kwargs)

    monkeypatch.setattr(datasets, "take_in", overtaken)
    assert api.call("POST", "/v1/datasets", files=form).status_code == 201
    assert len(api.get("/v1/datasets").json()["data"]) == 2


def test_an_upload_that_is_not_whole_or_not_theirs_is_no_file(api: Api) -> None:
    half = begin(api, CONTENT).headers["location"].rpartition("/")[2]
    form = [("name", (None, "reviews")), ("train", (None, half))]
    assert "0 of its 1,500,000 bytes" in detail(api.call("POST", "/v1/datasets", files=form), "/train")
    assert "There is no upload" in detail(api.as_other_team().call("POST", "/v1/datasets", files=form), "/train")


def test_nobody_else_sees_an_upload(api: Api) -> None:
    path = begin(api, CONTENT).headers["location"]
    stranger = api.as_other_team()
    assert stranger.get(path).status_code == 404
    assert stranger.call("HEAD", path).status_code == 404
    assert patch(stranger, path, 0, b"x").status_code == 404
    assert stranger.call("DELETE", path, headers=TUS).status_code == 404
    assert api.get(path).json()["offset"] == 0
    assert api.with_scopes("read").get(path).status_code == 403


def test_a_part_goes_where_the_last_one_ended(api: Api) -> None:
    path = begin(api, CONTENT).headers["location"]
    patch(api, path, 0, CONTENT[:10])
    for offset in (0, 9, 11):
        refused = patch(api, path, offset, CONTENT[:10])
        assert (refused.status_code, refused.headers["upload-offset"]) == (409, "10")
    assert api.get(path).json()["offset"] == 10


def test_more_than_announced_is_refused_and_what_was_announced_kept(api: Api) -> None:
    path = begin(api, CONTENT[:100]).headers["location"]
    assert patch(api, path, 0, CONTENT[:101]).status_code == 413
    assert api.get(path).json()["sha256"] == hashlib.sha256(CONTENT[:100]).hexdigest()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Tus-Resumable": "0.2.2"}, 412),
        ({"Upload-Length": "2000001"}, 413),
        ({"Upload-Length": "0"}, 422),
        ({"Upload-Length": "-1"}, 422),
        ({"Upload-Length": "1e9"}, 422),
        ({"Upload-Metadata": "filename !"}, 400),
        ({"Upload-Metadata": "filename /w=="}, 400),
        ({"Upload-Metadata": "name bW9kZWw="}, 422),
        ({"Upload-Metadata": "filename AA=="}, 422),
    ],
)
def test_what_cannot_be_begun_is_refused(api: Api, headers: dict[str, str], status: int) -> None:
    before = api.stored()
    assert begin(api, CONTENT, **headers).status_code == status
    assert api.stored() == before


def test_a_part_says_what_it_is(api: Api) -> None:
    path = begin(api, CONTENT).headers["location"]
    assert patch(api, path, 0, b"x", **{"Content-Type": "application/octet-stream"}).status_code == 415
    assert patch(api, path, 0, b"x", **{"Content-Encoding": "gzip"}).status_code == 415
    assert patch(api, path, 0, b"x", **{"Tus-Resumable": "2.0.0"}).status_code == 412
    nowhere = api.call("PATCH", path, headers={**TUS, "Content-Type": "application/offset+octet-stream"})
    assert pointers(nowhere) == {"/header/Upload-Offset"}


def test_who_asks_is_known_before_what_protocol_is_spoken(api: Api) -> None:
    path = begin(api, CONTENT).headers["location"]
    for method, address in (("POST", "/v1/uploads"), ("PATCH", path), ("DELETE", path)):
        assert api.client.request(method, address).status_code == 401


def test_a_team_has_room_for_so_much_at_once(api: Api) -> None:
    paths = [begin(api, bytes(2_000_000)).headers["location"] for _ in range(2)]
    full = begin(api, bytes(1_000_001))
    assert (full.status_code, full.json()["type"]) == (413, "urn:secateur:problem:too-large")
    assert "SECATEUR_TEAM_MAX_UPLOAD_BYTES" in full.json()["detail"]
    assert begin(api.as_other_team(), bytes(1_000_001)).status_code == 201, "each team has its own"
    dropped = api.call("DELETE", paths[0], headers=TUS)
    assert (dropped.status_code, api.get(paths[0]).status_code) == (204, 404)
    assert begin(api, bytes(1_000_001)).status_code == 201


def test_what_nobody_comes_back_for_is_removed(api: Api, database: Database) -> None:
    path = begin(api, CONTENT).headers["location"]
    patch(api, path, 0, CONTENT[:10])

    def expired() -> Any:
        with database.write() as session:
            session.execute(update(Upload).where(Upload.team_id == api.team).values(expires_at=db_now(-1)))

    expired()
    assert api.get(path).status_code == 404
    assert patch(api, path, 10, b"x").status_code == 404
    with database.write() as session:
        assert expire_uploads(session) >= 1
