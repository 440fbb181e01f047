"""Uploads in parts: begun, grown (`store.growing`), completed, used or forgotten."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from store.blobs import BlobRef, publish, release_blobs
from store.clock import db_now
from store.engine import Database, ReadSession, WriteSession
from store.errors import NotFound, QuotaExceeded
from store.ids import new_id
from store.isolation import ACROSS_TEAMS
from store.locks import lock_team
from store.tables import Blob, Upload


@dataclass(frozen=True, slots=True)
class UploadState:
    """How far an upload is.

    Attributes:
        id: its id.
        filename: what the file is called.
        size: bytes of the whole file.
        offset: bytes that have come.
        blob_id: where they are.
        sha256: of the file, once it is whole.
        expires_at: when it is removed, unless more comes or it is used.
    """

    id: str
    filename: str
    size: int
    offset: int
    blob_id: str
    sha256: str | None
    expires_at: datetime

    @property
    def blob(self) -> BlobRef | None:
        """The file, once it is whole."""
        return None if self.sha256 is None else BlobRef(self.blob_id, self.sha256, self.size)


def begin_upload(
    session: WriteSession, team_id: str, *, filename: str, size: int, chunk_bytes: int, ttl_s: float, quota: int
) -> str:
    """Make room for a file; return the upload's id.

    Args:
        session: Committed by its owner.
        team_id: Whose upload.
        filename: What the file is called.
        size: Bytes of the whole file.
        chunk_bytes: How it is cut.
        ttl_s: How long it is kept if nothing more comes, in seconds.
        quota: How many bytes the uploads of a team may come to.

    Raises:
        QuotaExceeded: With this one the team's uploads would come to more.
    """
    lock_team(session, team_id)
    taken = session.scalar(select(func.coalesce(func.sum(Upload.size), 0)).where(Upload.team_id == team_id)) or 0
    if taken + size > quota:
        raise QuotaExceeded(int(taken), size, quota)
    upload_id, blob_id = new_id("upl"), new_id("blob")
    session.execute(insert(Blob).values(id=blob_id, chunk_bytes=chunk_bytes))
    session.execute(
        insert(Upload).values(
            id=upload_id,
            team_id=team_id,
            filename=filename,
            size=size,
            blob_id=blob_id,
            created_at=db_now(),
            expires_at=db_now(ttl_s),
        )
    )
    return upload_id


def get_upload(session: ReadSession, team_id: str, upload_id: str) -> UploadState:
    """Return how far a team's upload is.

    Raises:
        NotFound: The team has no such upload, or no longer.
    """
    found = session.execute(
        select(Upload, Blob)
        .join(Blob, Blob.id == Upload.blob_id)
        .where(Upload.team_id == team_id, Upload.id == upload_id, Upload.expires_at > db_now())
    ).one_or_none()
    if found is None:
        raise NotFound("upload", upload_id)
    upload, blob = found
    return UploadState(upload.id, upload.filename, upload.size, blob.size, blob.id, blob.sha256, upload.expires_at)


def prolong_upload(session: WriteSession, team_id: str, upload_id: str, ttl_s: float) -> None:
    """Keep an upload for so many seconds from now."""
    session.execute(
        update(Upload)
        .where(Upload.team_id == team_id, Upload.id == upload_id)
        .values(expires_at=db_now(ttl_s))
        .execution_options(synchronize_session=False)
    )


def complete_upload(database: Database, team_id: str, state: UploadState, sha256: str) -> None:
    """Publish the file of an upload that has all its bytes; the same content is kept once."""
    try:
        with database.write() as session:
            _complete(session, team_id, state, sha256)
    except IntegrityError:  # another file of the same content was published between our look and our write
        with database.write() as session:
            _complete(session, team_id, state, sha256)


def _complete(session: WriteSession, team_id: str, state: UploadState, sha256: str) -> None:
    blob_id = publish(session, state.blob_id, sha256, state.size)
    if blob_id != state.blob_id:
        session.execute(
            update(Upload)
            .where(Upload.team_id == team_id, Upload.id == state.id)
            .values(blob_id=blob_id)
            .execution_options(synchronize_session=False)
        )
        release_blobs(session, [state.blob_id], older_than_s=-1.0)


def end_upload(session: WriteSession, team_id: str, upload_id: str) -> None:
    """Forget an upload: it was used, or is no longer wanted. What is part of something else stays.

    Raises:
        NotFound: The team has no such upload.
    """
    blob_id = session.scalar(
        delete(Upload)
        .where(Upload.team_id == team_id, Upload.id == upload_id)
        .returning(Upload.blob_id)
        .execution_options(synchronize_session=False)
    )
    if blob_id is None:
        raise NotFound("upload", upload_id)
    release_blobs(session, [blob_id])


def expire_uploads(session: WriteSession) -> int:
    """Forget uploads that nothing came for; their files go with the next sweep. Say how many."""
    gone = session.scalars(
        delete(Upload)
        .where(Upload.expires_at <= db_now())
        .returning(Upload.id)
        .execution_options(synchronize_session=False, **ACROSS_TEAMS)
    ).all()
    return len(gone)
