"""Teams own everything; keys speak for teams."""

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, text
from sqlalchemy.orm import Mapped, mapped_column

from store.documents import JsonDocument
from store.tables.base import Base, Written


class Team(Base):
    """A team: the tenant that owns datasets, models and jobs."""

    __tablename__ = "team"
    __table_args__ = (
        CheckConstraint("max_running >= 0", name="max_running"),
        CheckConstraint("max_queued >= 0", name="max_queued"),
        CheckConstraint("weight > 0", name="weight"),  # a share is divided by it
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    created_at: Mapped[Written]
    max_running: Mapped[int | None]  # jobs at once; null: the setting's default
    max_queued: Mapped[int | None]  # jobs that wait; null: the setting's default
    weight: Mapped[float] = mapped_column(server_default=text("1"))  # of two, one with 2 gets twice the share


class Key(Base):
    """An API key. Only a hash of its secret is kept."""

    __tablename__ = "api_key"

    id: Mapped[str] = mapped_column(primary_key=True)
    team_id: Mapped[str] = mapped_column(ForeignKey("team.id", ondelete="CASCADE"), index=True)
    name: Mapped[str]
    scopes: Mapped[list[str]] = mapped_column(JsonDocument)
    secret_hash: Mapped[str]
    created_at: Mapped[Written]
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]  # to about a minute
    replaced_by: Mapped[str | None]  # the id of the key that it was rotated to
