"""Words of texts, tools by their names, and the order of tokens: what runs are asked for by."""

import sqlalchemy as sa
from alembic import op

from storage.engine import column_types
from storage.search import fulltext

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

PARTS = "'prompt', 'guidance', 'output', 'summary', 'failure_reason', 'step', 'tool_input', 'tool_output'"


def upgrade() -> None:
    op.create_table(
        "run_tools",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("run_seq", column_types.Integer64, nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", "run_seq", name=op.f("pk_run_tools")),
    )
    op.execute(
        "INSERT INTO run_tools (name, run_seq, run_id) SELECT DISTINCT tool_name, id / 65536, run_id "
        "FROM run_steps WHERE tool_name IS NOT NULL"
    )
    op.create_table(
        "search_queue",
        sa.Column("run_seq", column_types.Integer64, nullable=False),
        sa.Column("version", column_types.Integer64, nullable=False),
        sa.Column("wished_at", column_types.Instant(), nullable=False),
        sa.PrimaryKeyConstraint("run_seq", name=op.f("pk_search_queue")),
    )
    op.create_table(
        "passages",
        sa.Column("id", column_types.Integer64, nullable=False),
        sa.Column("part", sa.Text(), nullable=False),
        sa.Column("step", column_types.Integer64, nullable=True),
        sa.Column("start", column_types.Integer64, nullable=False),
        sa.Column("stop", column_types.Integer64, nullable=False),
        sa.CheckConstraint(f"part IN ({PARTS})", name=op.f("ck_passages_part")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_passages")),
    )
    fulltext.create_words_table(op.get_bind())
    op.execute(
        "INSERT INTO search_queue (run_seq, version, wished_at) SELECT seq, 1, accepted_at FROM runs "
        "WHERE pruned_at IS NULL"
    )
    _order_by_tokens()


def _order_by_tokens() -> None:
    if op.get_context().dialect.name == "postgresql":
        tokens = [sa.text("(input_tokens + output_tokens) DESC NULLS LAST"), sa.text("seq DESC")]
        op.create_index("ix_runs_tokens_seq", "runs", tokens)
    else:
        op.create_index("ix_runs_tokens", "runs", [sa.text("(input_tokens + output_tokens)")])
