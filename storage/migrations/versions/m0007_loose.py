"""What belongs to no run and still has its content, the oldest first: it is removed after a while."""

from storage.migrations.declarations import partial_index

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    condition = "run_id IS NULL AND body_sha256 <> ''"
    partial_index("ix_deliveries_loose", "deliveries", ["run_id", "received_at"], condition)
