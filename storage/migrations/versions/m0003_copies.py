"""Add columns that mark a store as a copy, and submissions that may have been executed after the copy was made."""

from storage.migrations.declarations import INSTANT, TEXT, add, columns

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    add("runs", columns(INSTANT, "restored_at", null=True))
    add("house", columns(INSTANT, "restored_at", "copied_at", null=True))
    add("house", columns(TEXT, "moved_to", null=True))
