"""Add the full-text index, the tools of runs, and the index for sorting by tokens."""

from alembic import op

from storage.migrations.declarations import INSTANT, INTEGER, TEXT, columns, sort_index, table
from storage.search import fulltext

revision = "0004"
down_revision = "0003"

PARTS = "'prompt', 'guidance', 'output', 'summary', 'failure_reason', 'step', 'tool_input', 'tool_output'"


def upgrade() -> None:
    table(
        "run_tools",
        columns(TEXT, "name"),
        columns(INTEGER, "run_seq"),
        columns(TEXT, "run_id"),
        key=("name", "run_seq"),
    )
    op.execute(
        "INSERT INTO run_tools (name, run_seq, run_id) SELECT DISTINCT tool_name, id / 65536, run_id "
        "FROM run_steps WHERE tool_name IS NOT NULL"
    )
    table("search_queue", columns(INTEGER, "run_seq", "version"), columns(INSTANT, "wished_at"), key=("run_seq",))
    table(
        "passages",
        columns(INTEGER, "id"),
        columns(TEXT, "part"),
        columns(INTEGER, "step", null=True),
        columns(INTEGER, "start", "stop"),
        checks={"part": f"part IN ({PARTS})"},
    )
    fulltext.create_words_table(op.get_bind())
    op.execute(
        "INSERT INTO search_queue (run_seq, version, wished_at) SELECT seq, 1, accepted_at FROM runs "
        "WHERE pruned_at IS NULL"
    )
    sort_index("tokens", "(input_tokens + output_tokens)")
