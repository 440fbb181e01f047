"""Uploaded datasets of a team."""

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
from store.tables import Dataset, DatasetSplit


@dataclass(frozen=True, slots=True)
class NewSplit:
    """One split to be recorded; its Parquet file is in the blob store already."""

    split: str
    rows: int
    blob: BlobRef


def insert_dataset(
    session: WriteSession,
    team_id: str,
    *,
    name: str,
    format: str,
    columns: Sequence[JsonObject],
    preview: Sequence[JsonObject],
    splits: Sequence[NewSplit],
    source: str | None = None,
) -> Dataset:
    """Record a validated dataset; the splits keep their order.

    `source` says where it was taken in from, if it was not uploaded.
    """
    dataset = Dataset(
        id=new_id("ds"),
        team_id=team_id,
        name=name,
        source=source,
        format=format,
        columns=columns,
        preview=preview,
        splits=[
            DatasetSplit(
                split=new.split,
                position=position,
                rows=new.rows,
                size=new.blob.size,
                sha256=new.blob.sha256,
                blob_id=new.blob.id,
            )
            for position, new in enumerate(splits)
        ],
    )
    session.add(dataset)
    session.flush()
    return dataset


def get_dataset(session: ReadSession, team_id: str, dataset_id: str) -> Dataset:
    """Return a team's dataset with its splits.

    Raises:
        NotFound: The team has no such dataset.
    """
    dataset = session.scalar(_dataset(), {"team_id": team_id, "id": dataset_id})
    if dataset is None:
        raise NotFound("dataset", dataset_id)
    return dataset


@cache  # it takes longer to put together than to answer
def _dataset() -> Select[Dataset]:
    return select(Dataset).where(Dataset.team_id == bindparam("team_id"), Dataset.id == bindparam("id"))


def dataset_of_source(session: ReadSession, team_id: str, source: str) -> Dataset | None:
    """Return the team's dataset that was taken in from a source, if there is one."""
    return session.scalar(select(Dataset).where(Dataset.team_id == team_id, Dataset.source == source))


def list_datasets(session: ReadSession, team_id: str, *, limit: int = 50, cursor: str | None = None) -> Page[Dataset]:
    """Return a page of a team's datasets, newest first.

    Raises:
        InvalidCursor: The cursor is not one that this listing gave out.
    """
    rows = select(Dataset).where(Dataset.team_id == team_id)
    return page_of(session, rows, Dataset, limit=limit, cursor=cursor)
