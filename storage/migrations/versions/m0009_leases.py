"""What a deployment wants after an end, whichever server starts last; and the lease on the webhook endpoint."""

import sqlalchemy as sa
from alembic import op

from storage.engine import column_types

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("notifies_set_at", "captures_set_at", "notifier_seen_at", "webhooks_until"):
        op.add_column("house", sa.Column(name, column_types.Instant(), nullable=True))
    op.add_column("house", _fence("webhooks_fence"))
    for table in ("webhook_endpoints", "webhook_secrets"):
        op.add_column(table, _fence("fence"))


def _fence(name: str) -> sa.Column:
    return sa.Column(name, column_types.Integer64, server_default="0", nullable=False)
