"""Retention: which jobs are pinned, how good their models are, when files were removed; and the index it reads."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0004"
down_revision: str | None = "0003"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

WITH_FILES = sa.text("status = 'succeeded' AND files_expired_at IS NULL")


def upgrade() -> None:
    """Add the columns and the index."""
    # Not in a batch: that would copy the table, and dropping the old one would take every attempt and event with it.
    op.add_column("job", sa.Column("quality", sa.Double(), nullable=True))
    op.add_column("job", sa.Column("pinned", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.add_column("job", sa.Column("files_expired_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index(
        "ix_job_with_files",
        "job",
        [
            "team_id",
            "model_id",
            "dataset_id",
            "target_sparsity",
            "quality",
            "created_at",
            "finished_at",
            "pinned",
            "id",
        ],
        sqlite_where=WITH_FILES,
        postgresql_where=WITH_FILES,
    )


def downgrade() -> None:
    """Take them away."""
    op.drop_index("ix_job_with_files", "job")
    for column in ("files_expired_at", "pinned", "quality"):
        op.drop_column("job", column)
