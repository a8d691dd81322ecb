"""What a copy of a store knows of being one, and which submissions may have gone on without it."""

from storage.migrations.declarations import INSTANT, TEXT, add, columns

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    add("runs", columns(INSTANT, "restored_at", null=True))
    add("house", columns(INSTANT, "restored_at", "copied_at", null=True))
    add("house", columns(TEXT, "moved_to", null=True))
