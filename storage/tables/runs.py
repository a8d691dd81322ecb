"""The columns of the tables of `storage/models/runs.py`, made from it by `make docs`."""

from sqlalchemy import Boolean, Column, Table, Text, text

from storage.engine.column_types import Bytes, Instant, Integer64, Json
from storage.tables.declare import metadata

RUNS = Table(
    "runs",
    metadata,
    Column("seq", Integer64, primary_key=True),
    Column("id", Text, nullable=False),
    Column("upstream_id", Text),
    Column("origin", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("agent_id", Text),
    Column("prompt", Text),
    Column("guidance", Text),
    Column("instructions", Text),
    Column("model", Text),
    Column("object_ids", Json),
    Column("submitted_by", Text, nullable=False),
    Column("idempotency_key", Text),
    Column("request_sha256", Text),
    Column("accepted_at", Instant, nullable=False),
    Column("created_at", Instant),
    Column("started_at", Instant),
    Column("completed_at", Instant),
    Column("settled_at", Instant),
    Column("settled_by", Text),
    Column("cancel_requested_at", Instant),
    Column("refresh_requested_at", Instant),
    Column("expected_by", Instant),
    Column("asked_at", Instant),
    Column("missing_since", Instant),
    Column("lost_create_since", Instant),
    Column("watched", Boolean, nullable=False, default=False, server_default=text("false")),
    Column("duration_ms", Integer64),
    Column("input_tokens", Integer64),
    Column("output_tokens", Integer64),
    Column("tool_calls", Integer64),
    Column("cost_micros", Integer64),
    Column("output", Text),
    Column("summary", Text),
    Column("failure_reason", Text),
    Column("failure_source", Text),
    Column("step_count", Integer64, nullable=False, default=0, server_default="0"),
    Column("pruned_at", Instant),
    Column("captured_at", Instant),
    Column("capture_note", Text),
    Column("restored_at", Instant),
    Column("again_of", Text),
    Column("review", Text),
)

RUN_TAGS = Table(
    "run_tags",
    metadata,
    Column("run_seq", Integer64, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("run_id", Text, nullable=False),
    Column("value", Text, nullable=False),
)

RUN_TOOLS = Table(
    "run_tools",
    metadata,
    Column("name", Text, primary_key=True),
    Column("run_seq", Integer64, primary_key=True),
    Column("run_id", Text, nullable=False),
)

RUN_STEPS = Table(
    "run_steps",
    metadata,
    Column("id", Integer64, primary_key=True),
    Column("run_id", Text, nullable=False),
    Column("position", Integer64, nullable=False),
    Column("upstream_id", Text),
    Column("type", Text),
    Column("content", Text),
    Column("tool_name", Text),
    Column("tool_input", Json),
    Column("tool_output", Json),
    Column("duration_ms", Integer64),
    Column("timestamp", Instant),
    Column("salt", Bytes, nullable=False),
    Column("is_failed", Boolean),
)

RUN_USAGE = Table(
    "run_usage",
    metadata,
    Column("id", Integer64, primary_key=True),
    Column("run_id", Text, nullable=False),
    Column("position", Integer64, nullable=False),
    Column("upstream_id", Text),
    Column("kind", Text),
    Column("service", Text),
    Column("endpoint", Text),
    Column("method", Text),
    Column("status_code", Integer64),
    Column("cost_micros", Integer64),
    Column("prompt_tokens", Integer64),
    Column("completion_tokens", Integer64),
    Column("total_tokens", Integer64),
    Column("model", Text),
    Column("timestamp", Instant),
    Column("metadata", Json),
    Column("salt", Bytes, nullable=False),
)

RUN_DOCUMENTS = Table(
    "run_documents",
    metadata,
    Column("seq", Integer64, primary_key=True),
    Column("run_id", Text, nullable=False),
    Column("version", Integer64, nullable=False),
    Column("fetched_at", Instant, nullable=False),
    Column("body", Bytes, nullable=False),
    Column("body_sha256", Text, nullable=False),
    Column("size", Integer64, nullable=False),
    Column("parse_error", Text),
)

RUN_EVENTS = Table(
    "run_events",
    metadata,
    Column("seq", Integer64, primary_key=True),
    Column("run_id", Text, nullable=False),
    Column("event_id", Integer64, nullable=False),
    Column("type", Text, nullable=False),
    Column("received_at", Instant, nullable=False),
    Column("data", Text, nullable=False),
)

RUN_REVIEWS = Table(
    "run_reviews",
    metadata,
    Column("seq", Integer64, primary_key=True),
    Column("id", Text, nullable=False),
    Column("run_id", Text, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("comment", Text),
    Column("by", Text, nullable=False),
    Column("at", Instant, nullable=False),
)

UPSTREAM_LINKS = Table(
    "upstream_links",
    metadata,
    Column("upstream_id", Text, primary_key=True),
    Column("run_id", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("linked_at", Instant, nullable=False),
    Column("cancelled_at", Instant),
)
