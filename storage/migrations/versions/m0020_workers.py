"""Add the workers that were seen lately."""

from storage.migrations.declarations import INSTANT, TEXT, columns, table

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    table("workers", columns(TEXT, "id", "name", "version"), columns(INSTANT, "began_at", "seen_at"))
