"""Add legal holds."""

from storage.migrations.declarations import INSTANT, TEXT, columns, table

revision = "0024"
down_revision = "0023"


def upgrade() -> None:
    """Add the empty table."""
    table(
        "holds",
        columns(TEXT, "id", "scope", "target", "reason", "placed_by"),
        columns(INSTANT, "placed_at"),
        columns(TEXT, "released_by", null=True),
        columns(INSTANT, "released_at", null=True),
        checks={"scope": "scope IN ('run', 'tag', 'question')"},
    )
