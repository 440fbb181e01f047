"""A blob that grows at its end, in any number of transfers; so long it is staged."""

import hashlib
from collections.abc import Iterator

from sqlalchemy import delete, insert, select, update

from store.blobs import decoded, encoded
from store.clock import db_now
from store.engine import Database
from store.errors import OffsetMoved
from store.tables import Blob, BlobChunk


class GrowingBlob:
    """Writes at the end of a staged blob, a chunk at a time, each in a short session.

    Every chunk is written on the condition that the blob still ends where we think it does. So of two who write at
    once, such as a client that came back while its broken connection was still being read, one goes on and the other
    is told.

    Attributes:
        offset: bytes that are there, those that wait for the rest of their chunk included.
    """

    def __init__(self, database: Database, blob_id: str, offset: int) -> None:
        """Begin where the blob ends.

        Args:
            database: where it is.
            blob_id: which.
            offset: bytes that are there as far as the writer knows, who goes on from them.

        Raises:
            OffsetMoved: It is gone, or complete, or ends elsewhere: of a broken connection some more has been kept.
        """
        self._database = database
        self._blob_id = blob_id
        with database.read() as session:
            blob = session.scalar(select(Blob).where(Blob.id == blob_id, Blob.sha256.is_(None)))
            if blob is None or blob.size != offset:
                raise OffsetMoved()
            self._chunk_bytes = blob.chunk_bytes
            self._written = blob.size  # the database's idea of where it ends
            tail = session.get(BlobChunk, (blob_id, blob.size // blob.chunk_bytes))
        self._buffer = bytearray() if tail is None else bytearray(decoded(tail, blob.size % blob.chunk_bytes))
        self.offset = blob.size
        # Kept along where all bytes come through here; a later transfer would first have to read the others.
        self._digest = None if blob.size else hashlib.sha256()

    def write(self, piece: bytes) -> None:
        """Add bytes; those that do not fill a chunk wait.

        Raises:
            OffsetMoved: Somebody else has written.
        """
        if self._digest is not None:
            self._digest.update(piece)
        self._buffer += piece
        self.offset += len(piece)
        while len(self._buffer) >= self._chunk_bytes:
            self._store(bytes(self._buffer[: self._chunk_bytes]))
            del self._buffer[: self._chunk_bytes]

    def flush(self) -> None:
        """Store what waits, too.

        Raises:
            OffsetMoved: Somebody else has written.
        """
        if self.offset > self._written:
            self._store(bytes(self._buffer))

    def sha256(self) -> str:
        """The digest of all bytes, of which none waits any more."""
        if self._digest is None:
            self._digest = hashlib.sha256()
            for chunk in self._chunks():
                self._digest.update(chunk)
        return self._digest.hexdigest()

    def _chunks(self) -> Iterator[bytes]:
        for start in range(0, self._written, self._chunk_bytes):
            with self._database.read() as session:
                chunk = session.get(BlobChunk, (self._blob_id, start // self._chunk_bytes))
            if chunk is None:
                raise OffsetMoved()
            yield decoded(chunk, min(self._chunk_bytes, self._written - start))

    def _store(self, chunk: bytes) -> None:
        """Write the last chunk, in place of the shorter one that may be there."""
        position = self._written // self._chunk_bytes
        end = position * self._chunk_bytes + len(chunk)
        codec, data = encoded(chunk)
        with self._database.write() as session:
            moved = session.scalar(
                update(Blob)
                .where(Blob.id == self._blob_id, Blob.sha256.is_(None), Blob.size == self._written)
                .values(size=end, touched_at=db_now())
                .returning(Blob.id)
                .execution_options(synchronize_session=False)
            )
            if moved is None:
                raise OffsetMoved()
            session.execute(delete(BlobChunk).where(BlobChunk.blob_id == self._blob_id, BlobChunk.position == position))
            session.execute(insert(BlobChunk).values(blob_id=self._blob_id, position=position, codec=codec, data=data))
        self._written = end
