"""Workers, as far as others need to know of them."""

from datetime import datetime

from sqlalchemy.orm import Mapped, mapped_column

from store.tables.base import Base


class Worker(Base):
    """A worker that was there lately. It belongs to no team: all of them share it."""

    __tablename__ = "worker"

    name: Mapped[str] = mapped_column(primary_key=True)
    gpus: Mapped[int]  # the most that a job may ask of it
    seen_at: Mapped[datetime]
