"""Move the salts of ledger entries into the rows of their entries, which saves two rows for each delivery."""

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
    """Copy them as JSON objects of hexadecimal digits, and drop their table."""
    declarations.add("ledger_entries", [sa.Column("salts", declarations.JSON)])
    of_entry = f"SELECT {AS_OBJECT[op.get_context().dialect.name]} FROM ledger_salts WHERE entry_id = ledger_entries.id"
    op.execute(f"UPDATE ledger_entries SET salts = ({of_entry}) WHERE id IN (SELECT entry_id FROM ledger_salts)")
    op.drop_table("ledger_salts")
