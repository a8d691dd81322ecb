"""Recreate the list indexes on PostgreSQL with the key and with nulls last, as SQLite has them implicitly."""

import sqlalchemy as sa
from alembic import op

from storage.migrations.declarations import is_server, sort_index

revision = "0002"
down_revision = "0001"

LISTED = (("agent_id", "status"), ("status",), ("model",))
ORDERED = (("agent_id", "created_at"), ("created_at",), ("settled_at",), ("cost_micros",), ("duration_ms",))


def upgrade() -> None:
    if not is_server():
        return
    for names in (*LISTED, *ORDERED):
        op.drop_index(_name(names), "runs")
    for names in LISTED:
        op.create_index(f"{_name(names)}_seq", "runs", [*names, sa.text("seq DESC")])
    for *before, last in ORDERED:
        sort_index("_".join((*before, last)), last, *before)


def _name(names: tuple[str, ...]) -> str:
    return "ix_runs_" + "_".join(names)
