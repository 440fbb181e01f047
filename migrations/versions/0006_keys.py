"""Keys: when each was last used, and which took its place."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0006"
down_revision: str | None = "0005"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    """Add the columns."""
    op.add_column("api_key", sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("api_key", sa.Column("replaced_by", sa.String(), nullable=True))


def downgrade() -> None:
    """Take them away."""
    op.drop_column("api_key", "replaced_by")
    op.drop_column("api_key", "last_used_at")
