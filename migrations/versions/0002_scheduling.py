"""Scheduling: limits and weight of a team, GPUs of a job, and the indexes that claims read."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0002"
down_revision: str | None = "0001"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

# In place, by statements that both databases know. Alembic's batches would copy the table on SQLite and drop the old
# one, and that drop deletes what refers to it: events and attempts go with their jobs.
COLUMNS = (
    ("team", "max_running", "INTEGER CONSTRAINT ck_team_max_running CHECK (max_running >= 0)"),
    ("team", "max_queued", "INTEGER CONSTRAINT ck_team_max_queued CHECK (max_queued >= 0)"),
    ("team", "weight", "{double} DEFAULT 1 NOT NULL CONSTRAINT ck_team_weight CHECK (weight > 0)"),
    ("job", "gpus", "INTEGER DEFAULT 1 NOT NULL CONSTRAINT ck_job_gpus CHECK (gpus >= 1)"),
)
WAITING = sa.text("status = 'queued'")
ACTIVE = sa.text("status IN ('running', 'pausing', 'cancelling')")


def upgrade() -> None:
    """Add the columns, and order the waiting jobs by team."""
    double = sa.Double().compile(dialect=op.get_bind().dialect)
    for table, column, definition in COLUMNS:
        op.execute(f"ALTER TABLE {table} ADD COLUMN {column} {definition.format(double=double)}")
    op.drop_index("ix_job_waiting", "job")
    op.create_index(
        "ix_job_waiting",
        "job",
        ["team_id", "queue", sa.text("priority DESC"), "created_at", "id"],
        sqlite_where=WAITING,
        postgresql_where=WAITING,
    )
    op.create_index("ix_job_active", "job", ["team_id"], sqlite_where=ACTIVE, postgresql_where=ACTIVE)


def downgrade() -> None:
    """Take them away again."""
    op.drop_index("ix_job_active", "job")
    op.drop_index("ix_job_waiting", "job")
    op.create_index(
        "ix_job_waiting",
        "job",
        ["queue", "priority", "created_at"],
        sqlite_where=WAITING,
        postgresql_where=WAITING,
    )
    for table, column, _ in reversed(COLUMNS):
        op.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
