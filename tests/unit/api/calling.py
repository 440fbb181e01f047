"""Calls the service as a client would, and looks behind it."""

from collections.abc import Mapping
from typing import Any

from fastapi.testclient import TestClient
from httpx2 import Response  # what Starlette's client answers with
from sqlalchemy import func, select

from store import Database, Dataset, Event, Job, Model, Scope, create_key, ensure_team
from store.tables import Blob, IdempotencyKey
from tests.unit.api.uploads import bert_files

STORED = (Blob, Dataset, Model, Job, Event, IdempotencyKey)


class Api:
    """The service and a key to it."""

    def __init__(self, client: TestClient, database: Database, team: str, key: str) -> None:
        self.client = client
        self.database = database
        self.team = team
        self.key_id = f"key_{key.split('_')[1]}"
        self.headers = {"Authorization": f"Bearer {key}"}

    def get(self, path: str, **kwargs: Any) -> Response:
        return self.call("GET", path, **kwargs)

    def call(self, method: str, path: str, **kwargs: Any) -> Response:
        headers = {**self.headers, **kwargs.pop("headers", {})}
        return self.client.request(method, path, headers=headers, **kwargs)

    def upload_dataset(self, **splits: tuple[str, bytes]) -> Response:
        files = [(split, (filename, content)) for split, (filename, content) in splits.items()]
        return self.call("POST", "/v1/datasets", data={"name": "reviews"}, files=files)

    def upload_model(self, files: Mapping[str, bytes], *, name: str = "tiny") -> Response:
        return self.call(
            "POST", "/v1/models", data={"name": name}, files=[("files", (path, raw)) for path, raw in files.items()]
        )

    def upload_model_copy(self) -> str:
        """Upload another small model; returns its URI."""
        return str(self.upload_model(bert_files(), name="copy").json()["uri"])

    def with_scopes(self, *scopes: str) -> "Api":
        """The same team, with a key that may do less."""
        with self.database.write() as session:
            _, key = create_key(session, self.team, "some", [Scope(scope) for scope in scopes])
        return Api(self.client, self.database, self.team, key)

    def submit(self, spec: Mapping[str, object], **headers: str) -> Response:
        return self.call("POST", "/v1/jobs", json=spec, headers=headers)

    def as_other_team(self) -> "Api":
        with self.database.write() as session:
            team = ensure_team(session, "neighbours").id
            _, key = create_key(session, team, "all", list(Scope))
        return Api(self.client, self.database, team, key)

    def stored(self) -> dict[str, int]:
        """Rows by table: what a refusal must leave as it was."""
        with self.database.read() as session:
            return {
                table.__tablename__: session.scalar(select(func.count()).select_from(table)) or 0 for table in STORED
            }


def pointers(answer: Response) -> set[str]:
    """The fields that a problem names."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return {error["pointer"] for error in answer.json().get("errors", [])}


def detail(answer: Response, pointer: str) -> str:
    """What a problem says about a field."""
    found = [error["detail"] for error in answer.json()["errors"] if error["pointer"] == pointer]
    assert found, answer.text
    return str(found[0])
