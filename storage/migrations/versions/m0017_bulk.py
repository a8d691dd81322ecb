"""Add bulk actions with their kind of job, and the link from a run to the one that it tries again."""

import sqlalchemy as sa
from alembic import op

from storage.migrations.declarations import (
    FLAG, INSTANT, INTEGER, JSON, TEXT, add, columns, index, is_server, partial_index, table,
)

revision = "0017"
down_revision = "0016"

KIND = "kind IN ('start', 'settle', 'cancel', 'orphan', 'adopt', 'sweep', 'notify', 'capture', 'check', 'bulk')"


def upgrade() -> None:
    add("runs", columns(TEXT, "again_of", null=True))
    partial_index("ix_runs_again_of", "runs", ["again_of", "seq"], "again_of IS NOT NULL")
    table(
        "bulk_actions",
        columns(TEXT, "id", "action", "submitted_by", "actor"),
        columns(TEXT, "idempotency_key", "question", null=True),
        columns(JSON, "run_seqs", "tags", null=True),
        columns(INSTANT, "created_at", "worked_at"),
        columns(INTEGER, "position", default="0"),
        columns(INTEGER, "last_seq", "total"),
        columns(FLAG, "is_exact", default=sa.text("false")),
        columns(INTEGER, "done", "failed", default="0"),
        columns(JSON, "errors", null=True),
        columns(INSTANT, "finished_at", null=True),
        columns(FLAG, "is_stopped", default=sa.text("false")),
        unique=(("submitted_by", "idempotency_key"),),
        checks={"action": "action IN ('cancel', 'refresh', 'retry_notification', 'tag', 'again')"},
    )
    partial_index("ix_bulk_actions_open", "bulk_actions", ["worked_at"], "finished_at IS NULL")
    if is_server():
        op.execute("ALTER TABLE jobs DROP CONSTRAINT ck_jobs_kind")
        op.execute(f"ALTER TABLE jobs ADD CONSTRAINT ck_jobs_kind CHECK ({KIND})")
    else:
        _make_jobs_anew()


def _make_jobs_anew() -> None:
    """Copy the jobs into a table with the other constraint: SQLite cannot change one.

    The old table is not renamed, since that fails where a user's view names a missing table.
    """
    op.execute("CREATE TABLE older_jobs AS SELECT * FROM jobs")
    op.drop_table("jobs")
    table(
        "jobs",
        columns(INTEGER, "seq"),
        columns(TEXT, "id", "kind", "run_id"),
        columns(INTEGER, "priority"),
        columns(INSTANT, "created_at", "due_at"),
        columns(INTEGER, "requested", default="1"),
        columns(TEXT, "trigger", "pending_trigger", "lease_owner", null=True),
        columns(INSTANT, "lease_until", null=True),
        columns(INTEGER, "fence", "attempts", "failures", "refusals", default="0"),
        columns(INSTANT, "refused_since", null=True),
        columns(TEXT, "last_error", null=True),
        columns(INSTANT, "last_error_at", "dead_at", null=True),
        key=("seq",),
        unique=(("id",), ("kind", "run_id")),
        checks={"kind": KIND, "trigger": "trigger IN ('watcher', 'platform', 'sweep', 'request')"},
    )
    op.execute("INSERT INTO jobs SELECT * FROM older_jobs")
    op.drop_table("older_jobs")
    index("jobs", "due_at")
    partial_index("ix_jobs_priority_due_at", "jobs", ["priority", "due_at"], "dead_at IS NULL")
    partial_index("ix_jobs_dead_at", "jobs", ["dead_at"], "dead_at IS NOT NULL")
