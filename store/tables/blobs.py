"""Files as rows: a blob is its sha256, its bytes are chunks of one fixed logical size."""

from sqlalchemy import ForeignKey, LargeBinary
from sqlalchemy.orm import Mapped, mapped_column

from store.tables.base import Base, Size, Written


class Blob(Base):
    """A file's content. Staged while `sha256` is null, then published under it, once for any number of users."""

    __tablename__ = "blob"

    id: Mapped[str] = mapped_column(primary_key=True)
    sha256: Mapped[str | None] = mapped_column(unique=True)
    size: Mapped[Size] = mapped_column(default=0)
    chunk_bytes: Mapped[int]
    touched_at: Mapped[Written]


class BlobChunk(Base):
    """One chunk of a blob; all but the last hold `chunk_bytes` bytes when decoded."""

    __tablename__ = "blob_chunk"

    blob_id: Mapped[str] = mapped_column(ForeignKey("blob.id", ondelete="CASCADE"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    codec: Mapped[str]
    data: Mapped[bytes] = mapped_column(LargeBinary)
