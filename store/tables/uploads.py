"""Files that come in parts."""

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from store.tables.base import Base, Size, Written


class Upload(Base):
    """A file on its way in, or there and not yet part of anything. Its blob is staged until the last byte has come."""

    __tablename__ = "upload"

    id: Mapped[str] = mapped_column(primary_key=True)
    team_id: Mapped[str] = mapped_column(ForeignKey("team.id", ondelete="CASCADE"), index=True)
    filename: Mapped[str]
    size: Mapped[Size]  # in the end; what has come is the blob's
    blob_id: Mapped[str] = mapped_column(ForeignKey("blob.id", ondelete="RESTRICT"), index=True)
    created_at: Mapped[Written]
    expires_at: Mapped[Written]
