"""Jobs, models and datasets as repositories of files: `jobs/job_…`, `models/mdl_…`, `datasets/ds_…`."""

import mimetypes
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from api.hub.refusals import EntryNotFound, RepoNotFound, RevisionGone, RevisionNotFound
from api.ids import is_id
from api.manifest import digest_of
from store import NotFound, ReadSession, get_dataset, get_job, get_model, list_artifacts

#: The one branch there is.
MAIN = "main"

_MODEL_FOLDER = "model/"
_BINARY = "application/octet-stream"


class Kind(StrEnum):
    """The hub's kinds of repositories, as its URLs spell them."""

    MODELS = "models"
    DATASETS = "datasets"


@dataclass(frozen=True)
class File:
    """A file of a repository."""

    name: str
    size: int
    sha256: str
    blob_id: str

    @property
    def media_type(self) -> str:
        """By its name."""
        return mimetypes.guess_type(self.name)[0] or _BINARY


@dataclass(frozen=True)
class Repository:
    """What one job, model or dataset consists of; it never changes.

    Attributes:
        id: as the client knows it, with its namespace.
        kind: a model's or a dataset's.
        created_at: when its files came to be.
        files: by name.
        why_empty: what to say where there are no files.
        gone: there were files, and retention has removed them.
    """

    id: str
    kind: Kind
    created_at: datetime
    files: dict[str, File]
    why_empty: str = ""
    gone: bool = False

    @property
    def commit(self) -> str:
        """Stands for the files' names and contents, in the shape of a git commit."""
        return digest_of((file.name, file.sha256) for file in self.files.values())[:40]

    def check(self, revision: str) -> None:
        """Return if there is such a revision.

        Raises:
            RevisionNotFound: There is not.
            RevisionGone: There was.
        """
        if self.gone:
            raise RevisionGone(self.why_empty)
        if not self.files:
            raise RevisionNotFound(self.why_empty)
        if revision not in (MAIN, self.commit):
            raise RevisionNotFound(
                f"{self.id} has no revision {revision[:100]!r}; use {MAIN!r} or the commit {self.commit}."
            )

    def file(self, path: str) -> File:
        """One file.

        Raises:
            EntryNotFound: There is none with that path.
        """
        if path not in self.files:
            raise EntryNotFound(
                f"{self.id} has no file {path[:200]!r}; it has {', '.join(sorted(self.files))}.",
                headers={"X-Repo-Commit": self.commit},
            )
        return self.files[path]


def find_repository(session: ReadSession, team_id: str, kind: Kind, namespace: str, name: str) -> Repository:
    """The repository of a team by its id, `namespace/name`.

    Raises:
        RepoNotFound: The team has no such job, model or dataset.
    """
    try:
        match kind, namespace:
            case Kind.MODELS, "jobs" if is_id(name, "job"):
                return _of_job(session, team_id, name)
            case Kind.MODELS, "models" if is_id(name, "mdl"):
                return _of_model(session, team_id, name)
            case Kind.DATASETS, "datasets" if is_id(name, "ds"):
                return _of_dataset(session, team_id, name)
    except NotFound as error:
        raise RepoNotFound(str(error)) from error
    raise no_such(kind, f"{namespace}/{name}")


def no_such(kind: Kind, id_: str) -> RepoNotFound:
    """What to say of an id that no repository of ours could have."""
    return RepoNotFound(
        f"There is no {kind.removesuffix('s')} repository {id_[:100]!r}. Models are jobs/job_... and models/mdl_..., "
        "datasets are datasets/ds_...."
    )


def _of_job(session: ReadSession, team_id: str, job_id: str) -> Repository:
    """The model that a job has made; its other artifacts are no part of it."""
    job = get_job(session, team_id, job_id)
    files = (
        File(artifact.name.removeprefix(_MODEL_FOLDER), artifact.size, artifact.sha256, artifact.blob_id)
        for artifact in list_artifacts(session, team_id, job_id)
        if artifact.name.startswith(_MODEL_FOLDER)
    )
    gone = job.files_expired_at is not None
    why_empty = (
        f"The files of job {job_id} were removed by the service's retention policy."
        if gone
        else f"Job {job_id} is {job.status} and has no model to download; it has one once it has succeeded."
    )
    made_at = job.finished_at or job.created_at
    return Repository(f"jobs/{job_id}", Kind.MODELS, made_at, _by_name(files), why_empty, gone)


def _of_model(session: ReadSession, team_id: str, model_id: str) -> Repository:
    model = get_model(session, team_id, model_id)
    files = (File(file.path, file.size, file.sha256, file.blob_id) for file in model.files)
    return Repository(f"models/{model_id}", Kind.MODELS, model.created_at, _by_name(files))


def _of_dataset(session: ReadSession, team_id: str, dataset_id: str) -> Repository:
    """The splits' Parquet files, named as the `datasets` library names and finds them."""
    dataset = get_dataset(session, team_id, dataset_id)
    files = (
        File(f"data/{split.split}-00000-of-00001.parquet", split.size, split.sha256, split.blob_id)
        for split in dataset.splits
    )
    return Repository(f"datasets/{dataset_id}", Kind.DATASETS, dataset.created_at, _by_name(files))


def _by_name(files: Iterable[File]) -> dict[str, File]:
    return {file.name: file for file in files}
