"""Files in the database: streamed in chunks, compressed where it helps, stored once per content."""

import hashlib
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import zstandard
from sqlalchemy import ColumnElement, and_, delete, exists, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from store.clock import db_now
from store.engine import Database, WriteSession
from store.errors import BlobAbandoned, BlobCorrupt, NotFound
from store.ids import new_id
from store.isolation import ACROSS_TEAMS
from store.tables import Artifact, Blob, BlobChunk, Checkpoint, DatasetSplit, ModelFile, Upload

#: What a transfer holds in memory. Blobs that were written in larger chunks are read in those.
CHUNK_BYTES = 2**20

#: So many chunks are loaded at the same time by one process: each is there several times over while it is, as the
#: database has it, as the driver has it, and unpacked.
_LOADING = threading.BoundedSemaphore(2)

#: Whoever was just given a file that was there already has this long to refer to it.
_JUST_TOUCHED_S = 60.0

#: An upload of several files refers to them when the last one is there: the first may have waited this long.
LONGEST_UPLOAD_S = 6 * 3600.0

#: So many files go in one transaction of a sweep, and so many seconds one lasts, about.
_SWEPT_AT_ONCE, _LONGEST_SWEEP_S = 20, 5.0

#: Every column that refers to a blob; a test looks for those that are missing here.
REFERENCES = (Artifact.blob_id, Checkpoint.blob_id, DatasetSplit.blob_id, ModelFile.blob_id, Upload.blob_id)


@dataclass(frozen=True, slots=True)
class BlobRef:
    """A stored file: where it is and what it is."""

    id: str
    sha256: str
    size: int


class BlobStore(Protocol):
    """Where files are kept. A file is never in memory as a whole, and never stored twice."""

    def write(self, stream: Iterable[bytes]) -> BlobRef:
        """Store a file that comes in pieces of any size. If the stream fails, nothing is published."""

    def read(self, blob_id: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Yield the bytes from `start` up to, but without, `end`; both are cut to the file's size.

        A read of the whole file is checked against its sha256 before the last piece is yielded.

        Raises:
            NotFound: There is no such blob.
            BlobCorrupt: The bytes are not those that were written.
        """

    def sweep(self, older_than_s: float) -> int:
        """Delete what nobody needs and nobody has touched for so many seconds; say how many files.

        These are files that were begun and never finished, and files that nothing refers to: of attempts that lost
        their job before they could publish, of checkpoints that newer ones have replaced, of deleted jobs.
        """


class DatabaseBlobStore:
    """Keeps files as rows. Each chunk has a session of its own, so that no transaction lasts as long as a transfer."""

    def __init__(self, database: Database, chunk_bytes: int = CHUNK_BYTES) -> None:
        self._database = database
        self._chunk_bytes = chunk_bytes

    def write(self, stream: Iterable[bytes]) -> BlobRef:
        """Store a file; see `BlobStore.write`."""
        blob_id = new_id("blob")
        with self._database.write() as session:
            session.execute(insert(Blob).values(id=blob_id, chunk_bytes=self._chunk_bytes))
        digest = hashlib.sha256()
        size = 0
        for position, chunk in enumerate(_rechunked(stream, self._chunk_bytes)):
            digest.update(chunk)
            size += len(chunk)
            codec, data = encoded(chunk)
            with self._database.write() as session:
                _touch(session, blob_id, size)
                session.execute(insert(BlobChunk).values(blob_id=blob_id, position=position, codec=codec, data=data))
        return self._publish(blob_id, digest.hexdigest(), size)

    def read(self, blob_id: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Yield a file's bytes; see `BlobStore.read`."""
        with self._database.read() as session:
            blob = session.scalar(select(Blob).where(Blob.id == blob_id, Blob.sha256.is_not(None)))
        if blob is None:
            raise NotFound("blob", blob_id)
        end = blob.size if end is None else min(end, blob.size)
        if start > 0 or end < blob.size:
            yield from self._slices(blob, start, end)
            return
        digest = hashlib.sha256()
        left = blob.size
        for piece in self._slices(blob, 0, end):
            digest.update(piece)
            left -= len(piece)
            # Before the last piece, so that a reader of damaged bytes never sees the end.
            if not left and digest.hexdigest() != blob.sha256:
                raise BlobCorrupt(blob_id, "its sha256 is another one")
            yield piece

    def sweep(self, older_than_s: float) -> int:
        """Delete what nobody needs, as far as that goes in some seconds; see `BlobStore.sweep`.

        A few files a transaction: while gigabytes go, others could not write, and leases would run out.
        """
        until = time.monotonic() + _LONGEST_SWEEP_S
        deleted, at_once = 0, _SWEPT_AT_ONCE
        while at_once == _SWEPT_AT_ONCE:
            with self._database.write() as session:
                some = select(Blob.id).where(_is_unused(older_than_s)).limit(_SWEPT_AT_ONCE)
                at_once = _delete_unused(session, older_than_s, Blob.id.in_(some.with_for_update(skip_locked=True)))
            deleted += at_once
            if time.monotonic() > until:
                break
        return deleted

    def _slices(self, blob: Blob, start: int, end: int) -> Iterator[bytes]:
        position = start // blob.chunk_bytes
        while (offset := position * blob.chunk_bytes) < end:
            yield self._chunk(blob, position)[max(start - offset, 0) : end - offset]
            position += 1

    def _chunk(self, blob: Blob, position: int) -> bytes:
        with _LOADING:
            with self._database.read() as session:
                chunk = session.get(BlobChunk, (blob.id, position))
            if chunk is None:
                raise BlobCorrupt(blob.id, f"chunk {position} is missing")
            return decoded(chunk, min(blob.chunk_bytes, blob.size - position * blob.chunk_bytes))

    def _publish(self, blob_id: str, sha256: str, size: int) -> BlobRef:
        """Give a staged blob its name, or drop it for one that has the name already."""
        try:
            with self._database.write() as session:
                first = publish(session, blob_id, sha256, size)
                if first != blob_id:
                    session.execute(delete(Blob).where(Blob.id == blob_id))
                return BlobRef(first, sha256, size)
        except IntegrityError:
            # Another upload of the same content was published between our look and our write.
            with self._database.write() as session:
                theirs = _published(session, sha256)
                session.execute(delete(Blob).where(Blob.id == blob_id))
            if theirs is None:
                raise
            return BlobRef(theirs, sha256, size)


def publish(session: WriteSession, blob_id: str, sha256: str, size: int) -> str:
    """Give a staged blob its name; return the blob that has it now, which is another one if that had it before.

    Raises:
        BlobAbandoned: It was swept away.
        IntegrityError: Another one was given the name at the same time; ask again in a new transaction.
    """
    if (first := _published(session, sha256)) is not None:
        return first
    _touch(session, blob_id, size, sha256=sha256)
    return blob_id


def release_blobs(session: WriteSession, blob_ids: Sequence[str], older_than_s: float = _JUST_TOUCHED_S) -> int:
    """Delete files whose last reference the caller has just removed, rather than wait for the sweep; say how many.

    One that is referred to elsewhere, or whose content was uploaded anew in the last `older_than_s` seconds, stays.
    """
    return _delete_unused(session, older_than_s, Blob.id.in_(blob_ids)) if blob_ids else 0


def _delete_unused(session: WriteSession, older_than_s: float, *which: ColumnElement[bool]) -> int:
    deleted = session.scalars(
        delete(Blob)
        .where(_is_unused(older_than_s), *which)
        .returning(Blob.id)
        .execution_options(synchronize_session=False, **ACROSS_TEAMS)  # one file may be of several teams
    ).all()
    return len(deleted)


def _is_unused(older_than_s: float) -> ColumnElement[bool]:
    """True for files that nothing refers to and nobody has touched for so many seconds."""
    used = or_(*(exists().where(column == Blob.id) for column in REFERENCES))
    return and_(Blob.touched_at < db_now(-older_than_s), ~used)


def _published(session: WriteSession, sha256: str) -> str | None:
    """The blob that has the name, touched, so that it is not swept before its new user refers to it."""
    return session.scalar(
        update(Blob)
        .where(Blob.sha256 == sha256)
        .values(touched_at=db_now())
        .returning(Blob.id)
        .execution_options(synchronize_session=False)
    )


def _touch(session: WriteSession, blob_id: str, size: int, **columns: str) -> None:
    """Show that an upload is alive."""
    touched = session.scalar(
        update(Blob)
        .where(Blob.id == blob_id, Blob.sha256.is_(None))
        .values(size=size, touched_at=db_now(), **columns)
        .returning(Blob.id)
        .execution_options(synchronize_session=False)
    )
    if touched is None:
        raise BlobAbandoned(blob_id)


def _rechunked(stream: Iterable[bytes], chunk_bytes: int) -> Iterator[bytes]:
    """Cut a stream of pieces of any size into chunks of one size; only the last may be shorter."""
    buffer = bytearray()
    for piece in stream:
        buffer += piece
        while len(buffer) >= chunk_bytes:
            yield bytes(buffer[:chunk_bytes])
            del buffer[:chunk_bytes]
    if buffer:
        yield bytes(buffer)


def encoded(chunk: bytes) -> tuple[str, bytes]:
    """Compress a chunk if that makes it smaller. Level 1: a sparse model shrinks to 1/13 of its size, at disk speed."""
    packed = zstandard.ZstdCompressor(level=1, write_checksum=True).compress(chunk)
    return ("zstd", packed) if len(packed) < len(chunk) else ("raw", chunk)


def decoded(chunk: BlobChunk, size: int) -> bytes:
    """The `size` bytes that a chunk holds.

    Raises:
        BlobCorrupt: It holds others.
    """
    data = chunk.data
    if chunk.codec == "zstd":
        try:
            data = zstandard.ZstdDecompressor().decompress(data, max_output_size=size)
        except zstandard.ZstdError as error:
            raise BlobCorrupt(chunk.blob_id, f"chunk {chunk.position}: {error}") from error
    if len(data) != size:
        raise BlobCorrupt(chunk.blob_id, f"chunk {chunk.position} has {len(data)} bytes instead of {size}")
    return data
