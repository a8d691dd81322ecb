"""Add reports that compare the upstream's list with the store."""

from storage.migrations.declarations import INSTANT, TEXT, columns, table

revision = "0026"
down_revision = "0025"


def upgrade() -> None:
    table("completeness_reports", columns(TEXT, "id"), columns(INSTANT, "checked_at"), columns(TEXT, "body"))
