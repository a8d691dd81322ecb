"""Add the names of the upstream's agents."""

from storage.migrations.declarations import INSTANT, TEXT, columns, index, table

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    table("agents", columns(TEXT, "id", "name"), columns(INSTANT, "seen_at"))
    index("agents", "name")
