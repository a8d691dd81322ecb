"""Add how signing and publishing the checkpoints of the ledger goes."""

from storage.migrations.declarations import FLAG, INSTANT, INTEGER, TEXT, columns, sa, table

revision = "0025"
down_revision = "0024"


def upgrade() -> None:
    table(
        "ledger_reports",
        columns(TEXT, "subject", "origin"),
        columns(INTEGER, "size", null=True),
        columns(INSTANT, "reached_at", null=True),
        columns(TEXT, "problem", null=True),
        columns(INSTANT, "since", null=True),
        columns(FLAG, "halts", default=sa.text("(false)")),
        key=("subject",),
    )
