"""Listing: an index for each order that jobs are listed in, beside that of their age."""

from collections.abc import Sequence

from alembic import op

revision: str = "0008"
down_revision: str | None = "0007"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

COLUMNS = ("finished_at", "priority", "name", "quality")


def upgrade() -> None:
    """Add the indexes."""
    for column in COLUMNS:
        op.create_index(f"ix_job_team_id_{column}_id", "job", ["team_id", column, "id"])


def downgrade() -> None:
    """Take them away again."""
    for column in COLUMNS:
        op.drop_index(f"ix_job_team_id_{column}_id", "job")
