"""On PostgreSQL the indexes of lists name the key, and put what has no value last, as SQLite's do by themselves."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

LISTED = (("agent_id", "status"), ("status",), ("model",))
ORDERED = (("agent_id", "created_at"), ("created_at",), ("settled_at",), ("cost_micros",), ("duration_ms",))


def upgrade() -> None:
    if op.get_context().dialect.name != "postgresql":
        return
    for names in (*LISTED, *ORDERED):
        op.drop_index(_name(names), "runs")
    for names in LISTED:
        op.create_index(f"{_name(names)}_seq", "runs", [*names, sa.text("seq DESC")])
    for *before, last in ORDERED:
        newest = [sa.text(f"{last} DESC NULLS LAST"), sa.text("seq DESC")]
        op.create_index(f"{_name((*before, last))}_seq", "runs", [*before, *newest])


def _name(names: tuple[str, ...]) -> str:
    return "ix_runs_" + "_".join(names)
