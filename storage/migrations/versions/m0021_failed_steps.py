"""Add whether a step failed; null for steps that were stored before, whose outputs are read for it."""

from storage.migrations.declarations import FLAG, add, columns

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    add("run_steps", columns(FLAG, "is_failed", null=True))
