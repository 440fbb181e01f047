"""What checks of jobs read: models and datasets, which never change, are read once."""

from collections.abc import Callable, Mapping
from typing import NoReturn, TypeVar

from api.datasets.columns import Column
from store import BlobStore, Dataset, Model, ReadSession, get_dataset, get_model

Kept = TypeVar("Kept", Dataset, Model)

#: More than these are not held; whoever uses so many at once reads some of them again.
_MOST = 64


class NotAtHand(Exception):
    """Something must be read from the database, which takes a thread that may wait."""


Reading = Callable[[], ReadSession]
"""Gives a session, or raises `NotAtHand`."""


def at_hand() -> NoReturn:
    """What whoever may not wait reads with: there is what the shelf holds, and nothing else.

    Raises:
        NotAtHand: Always.
    """
    raise NotAtHand


class Shelf:
    """Keeps what it has read, of each team for itself.

    What is kept may have been deleted since. A job's row refers to its model and dataset, so the database refuses to
    store one whose inputs are gone; who stores nothing takes a new shelf, and so looks.

    Attributes:
        blobs: where the files of models and datasets are.
    """

    def __init__(self, blobs: BlobStore) -> None:
        self.blobs = blobs
        self._models: dict[tuple[str, str], Model] = {}
        self._datasets: dict[tuple[str, str], Dataset] = {}
        self._columns: dict[Dataset, Mapping[str, Column]] = {}

    def model(self, reading: Reading, team_id: str, model_id: str) -> Model:
        """A team's model.

        Raises:
            NotFound: The team has no such model.
        """
        return _kept(self._models, reading, team_id, model_id, read=get_model)

    def dataset(self, reading: Reading, team_id: str, dataset_id: str) -> Dataset:
        """A team's dataset.

        Raises:
            NotFound: The team has no such dataset.
        """
        return _kept(self._datasets, reading, team_id, dataset_id, read=get_dataset)

    def columns(self, reading: Reading, dataset: Dataset) -> Mapping[str, Column]:
        """A dataset's columns by their names. To make them of a large dataset's row takes long, too."""
        if (found := self._columns.get(dataset)) is None:
            reading()
            found = {column.name: column for column in map(Column.model_validate, dataset.columns)}
            if len(self._columns) >= _MOST:
                self._columns.clear()
            self._columns[dataset] = found
        return found

    def clear(self) -> None:
        """Read all of it again."""
        self._models.clear()
        self._datasets.clear()
        self._columns.clear()


def _kept(
    kept: dict[tuple[str, str], Kept],
    reading: Reading,
    team_id: str,
    id_: str,
    *,
    read: Callable[[ReadSession, str, str], Kept],
) -> Kept:
    if (found := kept.get((team_id, id_))) is None:
        found = read(reading(), team_id, id_)
        if len(kept) >= _MOST:
            kept.clear()
        kept[team_id, id_] = found
    return found
