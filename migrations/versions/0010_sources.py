"""Where models and datasets were taken in from."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0010"
down_revision: str | None = "0009"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    """Add the columns and what keeps one row for each source of a team."""
    for table in ("model", "dataset"):
        op.add_column(table, sa.Column("source", sa.String(), nullable=True))
        op.create_index(f"ix_{table}_team_id_source", table, ["team_id", "source"], unique=True)


def downgrade() -> None:
    """Take them away."""
    for table in ("model", "dataset"):
        op.drop_index(f"ix_{table}_team_id_source", table)
        op.drop_column(table, "source")
