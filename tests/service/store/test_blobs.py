"""Blobs: the bytes that went in come out, any range of them, stored once, and damage never passes."""

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, func, select, update

from store import BlobAbandoned, BlobCorrupt, Database, DatabaseBlobStore, Fence, NotFound, publish_checkpoint
from store.blobs import REFERENCES
from store.clock import db_now
from store.tables import Base, Blob, BlobChunk


@pytest.fixture
def blobs(database: Database) -> DatabaseBlobStore:
    """A store with chunks small enough for many of them."""
    return DatabaseBlobStore(database, chunk_bytes=64)


def count(database: Database) -> int:
    """How many blobs there are."""
    with database.read() as session:
        return session.scalar(select(func.count()).select_from(Blob)) or 0


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.binary(max_size=150), max_size=5), st.integers(-5, 400), st.none() | st.integers(-5, 400))
def test_any_range_comes_out_as_it_went_in(
    blobs: DatabaseBlobStore, pieces: list[bytes], start: int, end: int | None
) -> None:
    content = b"".join(pieces)
    ref = blobs.write(iter(pieces))
    assert (ref.size, ref.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert b"".join(blobs.read(ref.id)) == content
    first = max(start, 0)
    assert b"".join(blobs.read(ref.id, first, end)) == content[first : len(content) if end is None else max(end, 0)]


def test_chunks_are_a_mebibyte_and_compressed_where_it_helps(database: Database) -> None:
    noise = b"".join(hashlib.sha512(str(number).encode()).digest() for number in range(65_536))
    ref = DatabaseBlobStore(database).write([bytes(5 * 2**20), noise])
    with database.read() as session:
        rows = session.execute(
            select(BlobChunk.codec, func.length(BlobChunk.data))
            .where(BlobChunk.blob_id == ref.id)
            .order_by(BlobChunk.position)
        ).all()
    assert [codec for codec, _ in rows] == ["zstd"] * 5 + ["raw"] * 4
    assert rows[0][1] < 1000
    assert rows[5][1] == 2**20


def test_a_reader_is_handed_little_at_once_wherever_it_begins(database: Database) -> None:
    blobs = DatabaseBlobStore(database)
    content = b"".join(hashlib.sha512(str(number).encode()).digest() for number in range(40_000))
    ref = blobs.write([content])
    for start, end in ((0, len(content)), (1, len(content)), (300_000, 2**20 + 1), (2**20 - 1, 2**20 + 300_000)):
        pieces = list(blobs.read(ref.id, start, end))
        assert b"".join(pieces) == content[start:end]
        assert max(map(len, pieces)) <= 2**20


def test_the_same_content_is_stored_once(database: Database, blobs: DatabaseBlobStore) -> None:
    assert blobs.write([b"ab", b"c"]) == blobs.write([b"abc"])
    assert count(database) == 1


def test_the_same_content_at_once_is_stored_once(database: Database, blobs: DatabaseBlobStore) -> None:
    with ThreadPoolExecutor(6) as pool:
        refs = set(pool.map(lambda _: blobs.write([b"x" * 100]), range(12)))
    assert len(refs) == 1
    assert count(database) == 1
    assert b"".join(blobs.read(refs.pop().id)) == b"x" * 100


def test_a_broken_upload_is_never_seen_and_is_swept(database: Database, blobs: DatabaseBlobStore) -> None:
    def broken() -> Iterator[bytes]:
        yield b"x" * 100
        raise ConnectionResetError("the client hung up")

    with pytest.raises(ConnectionResetError):
        blobs.write(broken())
    kept = blobs.write([b"kept"])
    with database.read() as session:
        staged = session.scalars(select(Blob.id).where(Blob.sha256.is_(None))).one()
    with pytest.raises(NotFound, match="no blob"):
        list(blobs.read(staged))
    assert blobs.sweep(older_than_s=60) == 0
    with database.write() as session:
        session.execute(update(Blob).where(Blob.id == staged).values(touched_at=db_now(-61)))
    assert blobs.sweep(older_than_s=60) == 1
    assert b"".join(blobs.read(kept.id)) == b"kept"
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(BlobChunk)) == 1


def age(database: Database, seconds: float) -> None:
    """Let every file be as old as that."""
    with database.write() as session:
        session.execute(update(Blob).values(touched_at=db_now(-seconds)))


def test_what_nothing_refers_to_is_swept_and_what_something_does_stays(
    database: Database, blobs: DatabaseBlobStore, running: Fence
) -> None:
    orphan, saved = blobs.write([b"orphan"]), blobs.write([b"saved"])
    with database.write() as session:
        publish_checkpoint(session, running, 10, saved)
    assert blobs.sweep(older_than_s=60) == 0, "both are young"
    age(database, 61)
    assert blobs.sweep(older_than_s=60) == 1
    assert b"".join(blobs.read(saved.id)) == b"saved"
    with pytest.raises(NotFound):
        list(blobs.read(orphan.id))


def test_a_sweep_lets_others_write_and_ends_in_time(
    database: Database, blobs: DatabaseBlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        blobs.write([b"orphan %d" % number])
    age(database, 61)
    monkeypatch.setattr("store.blobs._SWEPT_AT_ONCE", 2)
    with monkeypatch.context() as hurry:
        hurry.setattr("store.blobs._LONGEST_SWEEP_S", -1.0)
        assert blobs.sweep(older_than_s=60) == 2, "one transaction's"
    assert blobs.sweep(older_than_s=60) == 3, "all that is left, two at a time"


def test_a_file_that_is_uploaded_again_is_not_swept_before_its_new_user_refers_to_it(
    database: Database, blobs: DatabaseBlobStore
) -> None:
    blobs.write([b"twice"])
    age(database, 61)
    again = blobs.write([b"twice"])
    assert blobs.sweep(older_than_s=60) == 0
    assert b"".join(blobs.read(again.id)) == b"twice"


def test_the_sweep_knows_every_table_that_refers_to_a_file() -> None:
    pointing = {
        str(column)
        for table in Base.metadata.tables.values()
        for column in table.columns
        if any(key.column.table.name == "blob" for key in column.foreign_keys) and table.name != "blob_chunk"
    }
    assert pointing == {str(column.expression) for column in REFERENCES}


def test_an_upload_that_was_swept_away_is_told_so(database: Database, blobs: DatabaseBlobStore) -> None:
    def slow() -> Iterator[bytes]:
        yield b"x" * 64
        with database.write() as session:
            session.execute(delete(Blob))
        yield b"y" * 64

    with pytest.raises(BlobAbandoned, match="swept away"):
        blobs.write(slow())


DAMAGES: dict[str, Callable[[BlobChunk], object]] = {
    "flipped": lambda chunk: setattr(chunk, "data", bytes([chunk.data[0] ^ 1]) + chunk.data[1:]),
    "shortened": lambda chunk: setattr(chunk, "data", chunk.data[:-1]),
    "of another codec": lambda chunk: setattr(chunk, "codec", "zstd" if chunk.codec == "raw" else "raw"),
}


@pytest.mark.parametrize("damage", sorted(DAMAGES))
@pytest.mark.parametrize("content", [bytes(range(128)), b"x" * 128], ids=["raw", "zstd"])
def test_damage_is_found_before_the_end_is_handed_out(
    database: Database, blobs: DatabaseBlobStore, damage: str, content: bytes
) -> None:
    ref = blobs.write([content])
    with database.write() as session:
        DAMAGES[damage](session.get_one(BlobChunk, (ref.id, 1)))
    received: list[bytes] = []
    with pytest.raises(BlobCorrupt, match="damaged"):
        received.extend(blobs.read(ref.id))
    assert len(b"".join(received)) < len(content)


def test_a_missing_chunk_is_found(database: Database, blobs: DatabaseBlobStore) -> None:
    ref = blobs.write([b"x" * 128])
    with database.write() as session:
        session.execute(delete(BlobChunk).where(BlobChunk.position == 1))
    with pytest.raises(BlobCorrupt, match="chunk 1 is missing"):
        list(blobs.read(ref.id, 64, 65))
