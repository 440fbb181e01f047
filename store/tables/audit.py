"""Who changed what: rows that are written once and never again."""

from sqlalchemy import DDL, ForeignKey, Index, event
from sqlalchemy.orm import Mapped, mapped_column

from store.tables.base import Base, Written


class AuditEntry(Base):
    """One call that could change something, and how it ended. The database refuses to change or remove it."""

    __tablename__ = "audit_entry"
    __table_args__ = (Index(None, "team_id", "created_at", "id"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    team_id: Mapped[str] = mapped_column(ForeignKey("team.id", ondelete="RESTRICT"))
    key_id: Mapped[str | None]  # null: on the host, beside the service; no reference, which could stand in a key's way
    created_at: Mapped[Written]
    method: Mapped[str]
    route: Mapped[str]  # as a template: /v1/jobs/{job_id}/cancel
    target_id: Mapped[str | None]  # what the call was about, or made
    status: Mapped[int]  # of the answer
    request_id: Mapped[str | None]


APPEND_ONLY = {
    "sqlite": (
        "CREATE TRIGGER audit_entry_no_update BEFORE UPDATE ON audit_entry "
        "BEGIN SELECT RAISE(ABORT, 'audit_entry is append-only'); END",
        "CREATE TRIGGER audit_entry_no_delete BEFORE DELETE ON audit_entry "
        "BEGIN SELECT RAISE(ABORT, 'audit_entry is append-only'); END",
    ),
    "postgresql": (
        "CREATE FUNCTION audit_entry_is_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'audit_entry is append-only' USING ERRCODE = '23000'; END $$",
        "CREATE TRIGGER audit_entry_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_entry "
        "FOR EACH STATEMENT EXECUTE FUNCTION audit_entry_is_append_only()",
    ),
}
"""What makes each database refuse; the migration has its own copy."""

for dialect, statements in APPEND_ONLY.items():
    for statement in statements:
        refusal = DDL(statement)  # type: ignore[no-untyped-call]  # SQLAlchemy left its __init__ without types
        event.listen(AuditEntry.__table__, "after_create", refusal.execute_if(dialect=dialect))
