"""Add the full-text index, the tools of runs, and the index for sorting by tokens."""

from alembic import op

from storage.migrations.declarations import sort_index, table
from storage.search import fulltext

revision = "0004"
down_revision = "0003"

PARTS = "'prompt', 'guidance', 'output', 'summary', 'failure_reason', 'step', 'tool_input', 'tool_output'"


def upgrade() -> None:
    table("run_tools", "text: name* integer: run_seq* text: run_id")
    op.execute(
        "INSERT INTO run_tools (name, run_seq, run_id) SELECT DISTINCT tool_name, id / 65536, run_id "
        "FROM run_steps WHERE tool_name IS NOT NULL"
    )
    table("search_queue", "integer: run_seq* version instant: wished_at")
    table(
        "passages",
        "integer: id* text: part integer: step? start stop",
        checks={"part": f"part IN ({PARTS})"},
    )
    fulltext.create_words_table(op.get_bind())
    op.execute(
        "INSERT INTO search_queue (run_seq, version, wished_at) SELECT seq, 1, accepted_at FROM runs "
        "WHERE pruned_at IS NULL"
    )
    sort_index("tokens", "(input_tokens + output_tokens)")
