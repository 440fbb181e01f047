"""Uploads in parts, on both databases: what has come stays, nobody writes over another, what is left behind goes."""

import hashlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from sqlalchemy import func, select, update

from store import (
    Database,
    DatabaseBlobStore,
    GrowingBlob,
    NotFound,
    OffsetMoved,
    QuotaExceeded,
    Upload,
    begin_upload,
    complete_upload,
    end_upload,
    ensure_team,
    expire_uploads,
    get_upload,
)
from store.clock import db_now
from store.tables import Blob, BlobChunk

CHUNK = 1000
CONTENT = np.random.default_rng(0).bytes(2500) + bytes(2500)  # what compresses, and what does not
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def team(database: Database) -> str:
    with database.write() as session:
        return ensure_team(session, "growers").id


def begin(database: Database, team: str, size: int = len(CONTENT), quota: int = 10**6) -> str:
    with database.write() as session:
        return begin_upload(session, team, filename="f", size=size, chunk_bytes=CHUNK, ttl_s=60.0, quota=quota)


def grow(database: Database, team: str, upload: str, *pieces: bytes) -> GrowingBlob:
    with database.read() as session:
        state = get_upload(session, team, upload)
    growing = GrowingBlob(database, state.blob_id, state.offset)
    for piece in pieces:
        growing.write(piece)
    growing.flush()
    return growing


@pytest.mark.parametrize("cuts", [(), (1,), (999, 1000, 1001), (500, 2000, 4999), tuple(range(100, 5000, 333))])
def test_wherever_it_is_cut_the_file_is_the_same(database: Database, team: str, cuts: tuple[int, ...]) -> None:
    upload = begin(database, team)
    for start, end in zip((0, *cuts), (*cuts, len(CONTENT)), strict=True):
        growing = grow(database, team, upload, CONTENT[start : (start + end) // 2], CONTENT[(start + end) // 2 : end])
        with database.read() as session:
            assert get_upload(session, team, upload).offset == growing.offset == end
    assert growing.sha256() == SHA256
    with database.read() as session:
        state = get_upload(session, team, upload)
    complete_upload(database, team, state, SHA256)
    with database.read() as session:
        state = get_upload(session, team, upload)
    assert state.sha256 == SHA256
    assert b"".join(DatabaseBlobStore(database).read(state.blob_id)) == CONTENT


def test_who_goes_on_from_where_it_ended_a_moment_ago_is_told(database: Database, team: str) -> None:
    """A client comes back while the server still keeps what its broken connection had brought."""
    upload = begin(database, team)
    grow(database, team, upload, CONTENT[:100])
    with database.read() as session:
        seen = get_upload(session, team, upload)
    grow(database, team, upload, CONTENT[100:150])
    with pytest.raises(OffsetMoved):
        GrowingBlob(database, seen.blob_id, seen.offset)
    grow(database, team, upload, CONTENT[150:])
    with database.read() as session:
        state = get_upload(session, team, upload)
    assert GrowingBlob(database, state.blob_id, state.offset).sha256() == SHA256


def test_of_two_who_write_at_once_one_is_told(database: Database, team: str) -> None:
    upload = begin(database, team)
    grow(database, team, upload, CONTENT[:100])
    with database.read() as session:
        blob_id = get_upload(session, team, upload).blob_id
    slow, quick = GrowingBlob(database, blob_id, 100), GrowingBlob(database, blob_id, 100)
    quick.write(CONTENT[100:2000])
    slow.write(b"x" * 100)
    with pytest.raises(OffsetMoved):
        slow.flush()
    quick.write(CONTENT[2000:])
    quick.flush()
    assert quick.sha256() == SHA256


def test_whole_files_of_the_same_content_are_kept_once(database: Database, team: str) -> None:
    uploads = [begin(database, team) for _ in range(6)]

    def complete(upload: str) -> str:
        growing = grow(database, team, upload, CONTENT)
        with database.read() as session:
            state = get_upload(session, team, upload)
        complete_upload(database, team, state, growing.sha256())
        with database.read() as session:
            return get_upload(session, team, upload).blob_id

    with ThreadPoolExecutor(6) as threads:
        assert len(set(threads.map(complete, uploads))) == 1
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(Blob)) == 1
        assert session.scalar(select(func.count()).select_from(BlobChunk)) == 5


def test_two_begun_at_once_do_not_overdraw_the_quota(database: Database, team: str) -> None:
    def attempt(_: int) -> bool:
        try:
            begin(database, team, 400, quota=1000)
        except QuotaExceeded:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        assert sorted(threads.map(attempt, range(8))) == [False] * 6 + [True] * 2


def test_the_sweep_leaves_what_may_still_grow_and_takes_what_has_expired(database: Database, team: str) -> None:
    blobs = DatabaseBlobStore(database)
    kept, expired = begin(database, team), begin(database, team)
    for upload in (kept, expired):
        grow(database, team, upload, CONTENT[:1500])
    with database.write() as session:
        session.execute(update(Blob).values(touched_at=db_now(-1000)))
    assert blobs.sweep(older_than_s=500) == 0
    with database.write() as session:
        session.execute(update(Upload).where(Upload.id == expired).values(expires_at=db_now(-1)))
        assert expire_uploads(session) == 1
    assert blobs.sweep(older_than_s=500) == 1
    with database.read() as session:
        assert get_upload(session, team, kept).offset == 1500
        with pytest.raises(NotFound):
            get_upload(session, team, expired)


def test_an_upload_that_is_dropped_cannot_grow(database: Database, team: str) -> None:
    upload = begin(database, team)
    with database.read() as session:
        state = get_upload(session, team, upload)
    growing = GrowingBlob(database, state.blob_id, state.offset)
    with database.write() as session:
        end_upload(session, team, upload)
        session.execute(update(Blob).values(touched_at=db_now(-1000)))
    assert DatabaseBlobStore(database).sweep(older_than_s=500) == 1
    growing.write(CONTENT[:100])
    with pytest.raises(OffsetMoved):
        growing.flush()
