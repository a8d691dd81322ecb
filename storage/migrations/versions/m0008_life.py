"""Add the position of a cut sweep, the unknown queued runs, and indexes of creation, else of acceptance."""

import sqlalchemy as sa
from alembic import op

from storage.migrations.declarations import (
    FLAG, INSTANT, TEXT, add, columns, index, is_server, sort_index, table,
)

revision = "0008"
down_revision = "0007"

CREATED = "coalesce(created_at, accepted_at)"


def upgrade() -> None:
    add("house", columns(TEXT, "sweep_cursor", null=True))
    add("house", columns(INSTANT, "sweep_began_at", "sweep_reached_at", null=True))
    add("house", columns(FLAG, "sweep_met", default=sa.text("false")))
    table(
        "unknown_runs",
        columns(TEXT, "upstream_id"),
        columns(INSTANT, "listed_at", "ask_at"),
        columns(INSTANT, "missing_since", null=True),
        key=("upstream_id",),
    )
    index("unknown_runs", "ask_at")
    for name in ("agent_id_created_at", "created_at"):
        op.drop_index(f"ix_runs_{name}{'_seq' if is_server() else ''}", "runs")
    sort_index("agent_id_created", CREATED, "agent_id")
    sort_index("created", CREATED)
    sort_index("accepted_at", "accepted_at")
