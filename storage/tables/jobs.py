"""The columns of the tables of `storage/models/jobs.py`, made from it by `make docs`."""

from sqlalchemy import Boolean, Column, Table, Text, text

from storage.engine.column_types import Instant, Integer64, Json
from storage.tables.declare import metadata

JOBS = Table(
    "jobs",
    metadata,
    Column("seq", Integer64, primary_key=True),
    Column("id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("run_id", Text, nullable=False),
    Column("priority", Integer64, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("due_at", Instant, nullable=False),
    Column("requested", Integer64, nullable=False, default=1, server_default="1"),
    Column("trigger", Text),
    Column("pending_trigger", Text),
    Column("lease_owner", Text),
    Column("lease_until", Instant),
    Column("fence", Integer64, nullable=False, default=0, server_default="0"),
    Column("attempts", Integer64, nullable=False, default=0, server_default="0"),
    Column("failures", Integer64, nullable=False, default=0, server_default="0"),
    Column("refusals", Integer64, nullable=False, default=0, server_default="0"),
    Column("refused_since", Instant),
    Column("last_error", Text),
    Column("last_error_at", Instant),
    Column("dead_at", Instant),
)

SYSTEM_STATE = Table(
    "system_state",
    metadata,
    Column("id", Integer64, primary_key=True),
    Column("paused_until", Instant),
    Column("pause_reason", Text),
    Column("pause_streak", Integer64, nullable=False, default=0, server_default="0"),
    Column("rate_limit", Json),
    Column("upstream_ok_at", Instant),
    Column("worker_seen_at", Instant),
    Column("swept_at", Instant),
    Column("sweep_cursor", Text),
    Column("sweep_began_at", Instant),
    Column("sweep_reached_at", Instant),
    Column("sweep_all_handled", Boolean, nullable=False, default=False, server_default=text("false")),
    Column("notifies", Boolean, nullable=False, default=False, server_default=text("false")),
    Column("captures", Boolean, nullable=False, default=False, server_default=text("false")),
    Column("notifies_set_at", Instant),
    Column("captures_set_at", Instant),
    Column("notifier_seen_at", Instant),
    Column("webhooks_fence", Integer64, nullable=False, default=0, server_default="0"),
    Column("webhooks_until", Instant),
    Column("restored_at", Instant),
    Column("copied_at", Instant),
    Column("moved_to", Text),
)

WORKERS = Table(
    "workers",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("began_at", Instant, nullable=False),
    Column("seen_at", Instant, nullable=False),
)

BACKFILLS = Table(
    "backfills",
    metadata,
    Column("id", Text, primary_key=True),
    Column("agent_id", Text),
    Column("status", Text),
    Column("since", Instant),
    Column("cursor", Text),
    Column("seen", Integer64, nullable=False, default=0, server_default="0"),
    Column("taken", Integer64, nullable=False, default=0, server_default="0"),
    Column("started_at", Instant, nullable=False),
    Column("finished_at", Instant),
)

BULK_ACTIONS = Table(
    "bulk_actions",
    metadata,
    Column("id", Text, primary_key=True),
    Column("action", Text, nullable=False),
    Column("submitted_by", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("idempotency_key", Text),
    Column("question", Text),
    Column("run_seqs", Json),
    Column("tags", Json),
    Column("created_at", Instant, nullable=False),
    Column("worked_at", Instant, nullable=False),
    Column("position", Integer64, nullable=False, default=0, server_default="0"),
    Column("last_seq", Integer64, nullable=False),
    Column("total", Integer64, nullable=False),
    Column("is_exact", Boolean, nullable=False, default=False, server_default=text("false")),
    Column("done", Integer64, nullable=False, default=0, server_default="0"),
    Column("failed", Integer64, nullable=False, default=0, server_default="0"),
    Column("errors", Json),
    Column("finished_at", Instant),
    Column("is_stopped", Boolean, nullable=False, default=False, server_default=text("false")),
)

UNKNOWN_RUNS = Table(
    "unknown_runs",
    metadata,
    Column("upstream_id", Text, primary_key=True),
    Column("listed_at", Instant, nullable=False),
    Column("ask_at", Instant, nullable=False),
    Column("missing_since", Instant),
)
