"""Add columns that mark a store as a copy, and submissions that may have been executed after the copy was made."""

from storage.migrations.declarations import add

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    add("runs", "instant: restored_at?")
    add("house", "instant: restored_at? copied_at? text: moved_to?")
