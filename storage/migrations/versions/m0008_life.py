"""Add the position of a cut sweep, the unknown queued runs, and indexes of creation, else of acceptance."""

from alembic import op

from storage.migrations.declarations import add, index, is_server, sort_index, table

revision = "0008"
down_revision = "0007"

CREATED = "coalesce(created_at, accepted_at)"


def upgrade() -> None:
    add("house", "text: sweep_cursor? instant: sweep_began_at? sweep_reached_at? flag: sweep_met")
    table("unknown_runs", "text: upstream_id* instant: listed_at ask_at missing_since?")
    index("unknown_runs", "ask_at")
    for name in ("agent_id_created_at", "created_at"):
        op.drop_index(f"ix_runs_{name}{'_seq' if is_server() else ''}", "runs")
    sort_index("agent_id_created", CREATED, "agent_id")
    sort_index("created", CREATED)
    sort_index("accepted_at", "accepted_at")
