"""Sweeps: a spec and a grid of what varies in it."""

from collections.abc import Mapping, Sequence

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from store.documents import JsonDocument, JsonObject, JsonValue
from store.tables.base import Base, Written


class Sweep(Base):
    """A sweep. Its jobs refer to it, each with the position of its point in the grid."""

    __tablename__ = "sweep"
    __table_args__ = (Index(None, "team_id", "created_at", "id"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    team_id: Mapped[str] = mapped_column(ForeignKey("team.id", ondelete="RESTRICT"))
    name: Mapped[str | None]
    base: Mapped[JsonObject] = mapped_column(JsonDocument)
    # pairs and not an object, of which PostgreSQL would forget the order
    axes: Mapped[Sequence[Sequence[JsonValue]]] = mapped_column(JsonDocument)
    created_at: Mapped[Written]

    @property
    def grid(self) -> Mapping[str, Sequence[JsonValue]]:
        """The values of each field that varies, in the order given."""
        return {str(field): values for field, values in self.axes if isinstance(values, Sequence)}
