"""The files a job produced."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select

from store.blobs import BlobRef
from store.engine import ReadSession, WriteSession
from store.errors import FilesExpired, NotFound
from store.fences import Fence
from store.jobs import get_job
from store.tables import Artifact


@dataclass(frozen=True, slots=True)
class NewArtifact:
    """A file to be recorded; its bytes are in the blob store already."""

    name: str
    kind: str
    media_type: str
    blob: BlobRef


def write_artifacts(session: WriteSession, fence: Fence, artifacts: Sequence[NewArtifact]) -> None:
    """Record the files of a held attempt; `finish_succeeded` calls this."""
    session.add_all(
        Artifact(
            job_id=fence.job_id,
            name=artifact.name,
            kind=artifact.kind,
            media_type=artifact.media_type,
            size=artifact.blob.size,
            sha256=artifact.blob.sha256,
            blob_id=artifact.blob.id,
            attempt=fence.attempt,
        )
        for artifact in artifacts
    )
    session.flush()


def list_artifacts(session: ReadSession, team_id: str, job_id: str) -> Sequence[Artifact]:
    """Return a job's files by name; none before the job has succeeded, nor after retention has removed them.

    Raises:
        NotFound: The team has no such job.
    """
    get_job(session, team_id, job_id)
    return session.scalars(select(Artifact).where(Artifact.job_id == job_id).order_by(Artifact.name)).all()


def get_artifact(session: ReadSession, team_id: str, job_id: str, name: str) -> Artifact:
    """Return one of a job's files.

    Raises:
        NotFound: The team has no such job, or the job no such file.
        FilesExpired: Retention has removed the job's files.
    """
    job = get_job(session, team_id, job_id)
    artifact = session.get(Artifact, (job_id, name))
    if artifact is None and job.files_expired_at is not None:
        raise FilesExpired(job_id, job.files_expired_at)
    if artifact is None:
        raise NotFound("artifact", name)
    return artifact
