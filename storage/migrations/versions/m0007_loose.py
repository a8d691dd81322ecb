"""What belongs to no run and still has its content, the oldest first: it is removed after a while."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    only = sa.text("run_id IS NULL AND body_sha256 <> ''")
    op.create_index("ix_deliveries_loose", "deliveries", ["run_id", "received_at"], sqlite_where=only, postgresql_where=only)
