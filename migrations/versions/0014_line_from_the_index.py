"""Waiting jobs: their index holds all that the line is told from, so that long lines are told without their rows."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0014"
down_revision: str | None = "0013"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

WAITING = sa.text("status = 'queued'")
ORDER = ("team_id", "queue", sa.text("priority DESC"), "created_at", "id")


def upgrade() -> None:
    """Add the columns to the index."""
    _make_anew(*ORDER, "not_before", "gpus")


def downgrade() -> None:
    """Take them out."""
    _make_anew(*ORDER)


def _make_anew(*columns: str | sa.TextClause) -> None:
    op.drop_index("ix_job_waiting", "job")
    op.create_index("ix_job_waiting", "job", list(columns), sqlite_where=WAITING, postgresql_where=WAITING)
