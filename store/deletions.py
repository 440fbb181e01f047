"""Deleting what a team no longer needs: jobs that have ended, datasets and models that no unfinished job uses."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Delete, delete, or_, select, update
from sqlalchemy.orm import InstrumentedAttribute

from store.blobs import LONGEST_UPLOAD_S, release_blobs
from store.engine import WriteSession
from store.errors import InUse, NotFound, TransitionRefused
from store.states import TERMINAL
from store.tables import Artifact, Checkpoint, Dataset, DatasetSplit, Job, Model, ModelFile

_NAMED = 3
"""So many of the jobs that stand in the way are named."""


def delete_job(session: WriteSession, team_id: str, job_id: str) -> None:
    """Delete a job that has ended, with all it left behind; files that others share stay.

    Raises:
        NotFound: The team has no such job.
        TransitionRefused: It has not ended.
    """
    mine = (Job.team_id == team_id, Job.id == job_id)
    status = session.scalar(select(Job.status).where(*mine).with_for_update())
    if status is None:
        raise NotFound("job", job_id)
    if status not in TERMINAL:
        raise TransitionRefused(job_id, "be deleted", status)
    blobs = [
        *session.scalars(select(Artifact.blob_id).where(Artifact.job_id == job_id)),
        *session.scalars(select(Checkpoint.blob_id).where(Checkpoint.job_id == job_id)),
    ]
    _delete(session, delete(Job).where(*mine))
    release_blobs(session, blobs, LONGEST_UPLOAD_S)


def delete_dataset(session: WriteSession, team_id: str, dataset_id: str) -> None:
    """Delete a dataset. Jobs that have ended stay, and know its id from their spec.

    Raises:
        NotFound: The team has no such dataset.
        InUse: A job that has not ended uses it.
    """
    _lock(session, Dataset, team_id, dataset_id, "dataset")
    _see_that_it_is_free(session, "dataset", dataset_id, Job.dataset_id == dataset_id)
    blobs = session.scalars(select(DatasetSplit.blob_id).where(DatasetSplit.dataset_id == dataset_id)).all()
    _forget_in_jobs(session, Job.dataset_id, dataset_id)
    _delete(session, delete(Dataset).where(Dataset.id == dataset_id))
    release_blobs(session, blobs, LONGEST_UPLOAD_S)


def delete_model(session: WriteSession, team_id: str, model_id: str) -> None:
    """Delete a model. Jobs that have ended stay, and know its id from their spec.

    Raises:
        NotFound: The team has no such model.
        InUse: A job that has not ended prunes it, or learns from it.
    """
    _lock(session, Model, team_id, model_id, "model")
    teaches = Job.spec["distillation"]["teacher"].as_string() == f"upload://{model_id}"
    _see_that_it_is_free(session, "model", model_id, or_(Job.model_id == model_id, teaches), Job.team_id == team_id)
    blobs = session.scalars(select(ModelFile.blob_id).where(ModelFile.model_id == model_id)).all()
    _forget_in_jobs(session, Job.model_id, model_id)
    _delete(session, delete(Model).where(Model.id == model_id))
    release_blobs(session, blobs, LONGEST_UPLOAD_S)


def _lock(session: WriteSession, table: type[Dataset] | type[Model], team_id: str, id_: str, kind: str) -> None:
    """Lock the row: whoever is about to submit a job that refers to it waits, and then finds it gone or us refused."""
    if session.scalar(select(table.id).where(table.team_id == team_id, table.id == id_).with_for_update()) is None:
        raise NotFound(kind, id_)


def _see_that_it_is_free(session: WriteSession, kind: str, id_: str, *uses: ColumnElement[bool]) -> None:
    unfinished = Job.status.not_in(TERMINAL)
    jobs: Sequence[str] = session.scalars(
        select(Job.id).where(*uses, unfinished).order_by(Job.id).limit(_NAMED + 1)
    ).all()
    if jobs:
        raise InUse(kind, id_, jobs[:_NAMED], more=len(jobs) > _NAMED)


def _forget_in_jobs(session: WriteSession, column: InstrumentedAttribute[str | None], id_: str) -> None:
    session.execute(
        update(Job).where(column == id_).values({column: None}).execution_options(synchronize_session=False)
    )


def _delete(session: WriteSession, statement: Delete) -> None:
    session.execute(statement.execution_options(synchronize_session=False))
