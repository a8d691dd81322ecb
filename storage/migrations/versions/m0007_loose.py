"""Add an index of deliveries that belong to no run and still have content, so that the oldest can be removed."""

from storage.migrations.declarations import partial_index

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    condition = "run_id IS NULL AND body_sha256 <> ''"
    partial_index("ix_deliveries_loose", "deliveries", ["run_id", "received_at"], condition)
