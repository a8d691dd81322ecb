"""Where a sweep goes on, which runs wait elsewhere, and creation that falls back on acceptance."""

import sqlalchemy as sa
from alembic import op

from storage.engine import column_types

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

CREATED = "coalesce(created_at, accepted_at)"


def upgrade() -> None:
    op.add_column("house", sa.Column("sweep_cursor", sa.Text(), nullable=True))
    op.add_column("house", sa.Column("sweep_began_at", column_types.Instant(), nullable=True))
    op.add_column("house", sa.Column("sweep_reached_at", column_types.Instant(), nullable=True))
    op.add_column("house", sa.Column("sweep_met", sa.Boolean(), nullable=False, server_default=sa.text("false")))
    op.create_table(
        "unknown_runs",
        sa.Column("upstream_id", sa.Text(), nullable=False),
        sa.Column("listed_at", column_types.Instant(), nullable=False),
        sa.Column("ask_at", column_types.Instant(), nullable=False),
        sa.Column("missing_since", column_types.Instant(), nullable=True),
        sa.PrimaryKeyConstraint("upstream_id", name=op.f("pk_unknown_runs")),
    )
    op.create_index("ix_unknown_runs_ask_at", "unknown_runs", ["ask_at"])
    if op.get_context().dialect.name == "postgresql":
        _order_served()
    else:
        _order_embedded()


def _order_embedded() -> None:
    op.drop_index("ix_runs_agent_id_created_at", "runs")
    op.drop_index("ix_runs_created_at", "runs")
    op.create_index("ix_runs_agent_id_created", "runs", ["agent_id", sa.text(CREATED)])
    op.create_index("ix_runs_created", "runs", [sa.text(CREATED)])
    op.create_index("ix_runs_accepted_at", "runs", ["accepted_at"])


def _order_served() -> None:
    op.drop_index("ix_runs_agent_id_created_at_seq", "runs")
    op.drop_index("ix_runs_created_at_seq", "runs")
    newest = [sa.text(f"{CREATED} DESC NULLS LAST"), sa.text("seq DESC")]
    op.create_index("ix_runs_agent_id_created_seq", "runs", ["agent_id", *newest])
    op.create_index("ix_runs_created_seq", "runs", newest)
    op.create_index("ix_runs_accepted_at_seq", "runs", [sa.text("accepted_at DESC NULLS LAST"), sa.text("seq DESC")])
