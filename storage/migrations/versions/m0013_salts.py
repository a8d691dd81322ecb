"""Move the salts of ledger entries into the rows of their entries, and number those of a file that have no number."""

import sqlalchemy as sa
from alembic import op

from storage.migrations import declarations

revision = "0013"
down_revision = "0012"

AS_OBJECT = {
    "sqlite": "json_group_object(name, lower(hex(salt)))",
    "postgresql": "jsonb_object_agg(name, encode(salt, 'hex'))",
}


def upgrade() -> None:
    """Copy them as JSON objects of hexadecimal digits, and drop their table.

    From this revision on an entry of a file is numbered when it is written.
    """
    declarations.add("ledger_entries", [sa.Column("salts", declarations.JSON)])
    of_entry = f"SELECT {AS_OBJECT[op.get_context().dialect.name]} FROM ledger_salts WHERE entry_id = ledger_entries.id"
    op.execute(f"UPDATE ledger_entries SET salts = ({of_entry}) WHERE id IN (SELECT entry_id FROM ledger_salts)")
    op.drop_table("ledger_salts")
    if not declarations.is_server():
        op.execute("""
            UPDATE ledger_entries SET leaf_index = last + position FROM
                (SELECT seq AS waiting, row_number() OVER (ORDER BY seq) AS position
                 FROM ledger_entries WHERE leaf_index IS NULL),
                (SELECT coalesce(max(leaf_index), -1) AS last FROM ledger_entries)
            WHERE seq = waiting""")
