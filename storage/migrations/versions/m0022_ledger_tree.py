"""Add the tree over the ledger, its checkpoints and what witnesses signed."""

from storage.migrations.declarations import BYTES, INSTANT, INTEGER, TEXT, columns, table

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    """Add empty tables: the first checkpoint builds the tree over what is there."""
    table("ledger_nodes", columns(INTEGER, "row", "position"), columns(BYTES, "hash"), key=("row", "position"))
    table(
        "ledger_checkpoints",
        columns(INTEGER, "size"),
        columns(BYTES, "root"),
        columns(TEXT, "note"),
        columns(INSTANT, "signed_at"),
        key=("size",),
    )
    table(
        "ledger_cosignatures",
        columns(INTEGER, "size"),
        columns(TEXT, "witness", "line"),
        columns(INSTANT, "received_at"),
        key=("size", "witness"),
    )
