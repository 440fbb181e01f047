"""Jobs that try another again: the steps that they took over, which were paid for already."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0013"
down_revision: str | None = "0012"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    """Add the column; jobs from before are taken to have begun at zero."""
    op.add_column("job", sa.Column("steps_taken_over", sa.Integer(), server_default=sa.text("0"), nullable=False))


def downgrade() -> None:
    """Take it away."""
    op.drop_column("job", "steps_taken_over")
