"""Sweeps: the table, and of a job its sweep and its place in the grid."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision: str = "0009"
down_revision: str | None = "0008"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

# A revision names no type of the store's own: those may change, history may not.
JSON = sa.JSON().with_variant(JSONB(), "postgresql")
OF_A_SWEEP = ["sweep_id", "sweep_position", "id"]


def upgrade() -> None:
    """Add the table, the columns and the indexes."""
    op.create_table(
        "sweep",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("team_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=True),
        sa.Column("base", JSON, nullable=False),
        sa.Column("axes", JSON, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["team_id"], ["team.id"], name=op.f("fk_sweep_team_id_team"), ondelete="RESTRICT"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sweep")),
    )
    op.create_index(op.f("ix_sweep_team_id_created_at_id"), "sweep", ["team_id", "created_at", "id"])
    op.add_column("job", sa.Column("sweep_id", sa.String(), nullable=True))
    op.add_column("job", sa.Column("sweep_position", sa.Integer(), nullable=True))
    op.create_index(op.f("ix_job_sweep_id_sweep_position_id"), "job", OF_A_SWEEP)


def downgrade() -> None:
    """Take them away again."""
    op.drop_index(op.f("ix_job_sweep_id_sweep_position_id"), "job")
    op.drop_column("job", "sweep_position")
    op.drop_column("job", "sweep_id")
    op.drop_table("sweep")
