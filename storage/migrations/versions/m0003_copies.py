"""What a copy of a store knows of being one, and which submissions may have gone on without it."""

import sqlalchemy as sa
from alembic import op

from storage.engine import column_types

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("runs", sa.Column("restored_at", column_types.Instant(), nullable=True))
    op.add_column("house", sa.Column("restored_at", column_types.Instant(), nullable=True))
    op.add_column("house", sa.Column("copied_at", column_types.Instant(), nullable=True))
    op.add_column("house", sa.Column("moved_to", sa.Text(), nullable=True))
