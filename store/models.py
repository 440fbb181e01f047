"""Uploaded models of a team."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from sqlalchemy import Select, bindparam, select

from store.blobs import BlobRef
from store.documents import JsonObject
from store.engine import ReadSession, WriteSession
from store.errors import NotFound
from store.ids import new_id
from store.pages import Page, page_of
from store.tables import Model, ModelFile


@dataclass(frozen=True, slots=True)
class NewFile:
    """One file to be recorded, by its path in the model's directory; its bytes are in the blob store already."""

    path: str
    blob: BlobRef


def insert_model(
    session: WriteSession,
    team_id: str,
    *,
    name: str,
    model_type: str,
    config: JsonObject,
    tensors: JsonObject,
    parameters: int,
    files: Sequence[NewFile],
    source: str | None = None,
) -> Model:
    """Record a validated model; `source` says where it was taken in from, if it was not uploaded."""
    model = Model(
        id=new_id("mdl"),
        team_id=team_id,
        name=name,
        source=source,
        model_type=model_type,
        config=config,
        tensors=tensors,
        parameters=parameters,
        size=sum(file.blob.size for file in files),
        files=[
            ModelFile(path=file.path, size=file.blob.size, sha256=file.blob.sha256, blob_id=file.blob.id)
            for file in sorted(files, key=lambda file: file.path)
        ],
    )
    session.add(model)
    session.flush()
    return model


def get_model(session: ReadSession, team_id: str, model_id: str) -> Model:
    """Return a team's model with its files.

    Raises:
        NotFound: The team has no such model.
    """
    model = session.scalar(_model(), {"team_id": team_id, "id": model_id})
    if model is None:
        raise NotFound("model", model_id)
    return model


@cache  # it takes longer to put together than to answer
def _model() -> Select[Model]:
    return select(Model).where(Model.team_id == bindparam("team_id"), Model.id == bindparam("id"))


def model_of_source(session: ReadSession, team_id: str, source: str) -> Model | None:
    """Return the team's model that was taken in from a source, if there is one."""
    return session.scalar(select(Model).where(Model.team_id == team_id, Model.source == source))


def list_models(session: ReadSession, team_id: str, *, limit: int = 50, cursor: str | None = None) -> Page[Model]:
    """Return a page of a team's models, newest first.

    Raises:
        InvalidCursor: The cursor is not one that this listing gave out.
    """
    rows = select(Model).where(Model.team_id == team_id)
    return page_of(session, rows, Model, limit=limit, cursor=cursor)
