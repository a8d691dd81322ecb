"""The first schema."""

import sqlalchemy as sa

from storage.migrations.declarations import (
    BYTES, FLAG, INSTANT, INTEGER, JSON, TEXT, columns, index, partial_index, table,
)

revision = "0001"
down_revision = None


def upgrade() -> None:
    table(
        "api_keys",
        columns(TEXT, "id", "name"),
        columns(JSON, "scopes"),
        columns(TEXT, "secret_sha256"),
        columns(INSTANT, "created_at"),
        columns(INSTANT, "revoked_at", "last_used_at", null=True),
    )
    table(
        "backfills",
        columns(TEXT, "id"),
        columns(TEXT, "agent_id", "status", null=True),
        columns(INSTANT, "since", null=True),
        columns(TEXT, "cursor", null=True),
        columns(INTEGER, "seen", "taken", default="0"),
        columns(INSTANT, "started_at"),
        columns(INSTANT, "finished_at", null=True),
    )
    table(
        "deliveries",
        columns(INTEGER, "seq"),
        columns(TEXT, "id", "road"),
        columns(TEXT, "run_id", "upstream_id", "event_id", "event_type", null=True),
        columns(INSTANT, "received_at"),
        columns(TEXT, "verdict"),
        columns(TEXT, "reason", "duplicate_of", null=True),
        columns(INTEGER, "repeats", default="0"),
        columns(INSTANT, "last_repeat_at", null=True),
        columns(TEXT, "remote_addr", null=True),
        columns(JSON, "headers", null=True),
        columns(BYTES, "body"),
        columns(TEXT, "body_sha256"),
        columns(INTEGER, "size"),
        columns(TEXT, "secret_used", "dedupe_key", null=True),
        key=("seq",),
        unique=(("dedupe_key",), ("id",)),
        checks={
            "road": "road IN ('watcher', 'platform')",
            "verdict": "verdict IN ('accepted', 'duplicate', 'rejected')",
        },
    )
    index("deliveries", "duplicate_of")
    index("deliveries", "run_id")
    partial_index(
        "ix_deliveries_unlinked", "deliveries", ["upstream_id"], "run_id IS NULL AND upstream_id IS NOT NULL"
    )
    table(
        "house",
        columns(INTEGER, "id"),
        columns(INSTANT, "paused_until", null=True),
        columns(TEXT, "pause_reason", null=True),
        columns(INTEGER, "pause_streak", default="0"),
        columns(JSON, "rate_limit", null=True),
        columns(INSTANT, "upstream_ok_at", "worker_seen_at", "swept_at", null=True),
        columns(FLAG, "notifies", "captures", default=sa.text("(false)")),
        checks={"one_row": "id = 1"},
    )
    table(
        "jobs",
        columns(INTEGER, "seq"),
        columns(TEXT, "id", "kind", "run_id"),
        columns(INTEGER, "priority"),
        columns(INSTANT, "created_at", "due_at"),
        columns(INTEGER, "wanted", default="1"),
        columns(TEXT, "road", "late_road", "lease_owner", null=True),
        columns(INSTANT, "lease_until", null=True),
        columns(INTEGER, "fence", "attempts", "failures", "refusals", default="0"),
        columns(INSTANT, "refused_since", null=True),
        columns(TEXT, "last_error", null=True),
        columns(INSTANT, "last_error_at", "dead_at", null=True),
        key=("seq",),
        unique=(("id",), ("kind", "run_id")),
        checks={
            "kind": "kind IN ('start', 'settle', 'cancel', 'orphan', 'adopt', 'sweep', 'notify', 'capture', "
            "'check')",
            "road": "road IN ('watcher', 'platform', 'sweep', 'request')",
        },
    )
    index("jobs", "due_at")
    partial_index("ix_jobs_priority_due_at", "jobs", ["priority", "due_at"], "dead_at IS NULL")
    partial_index("ix_jobs_dead_at", "jobs", ["dead_at"], "dead_at IS NOT NULL")
    table(
        "ledger_entries",
        columns(INTEGER, "seq"),
        columns(TEXT, "id"),
        columns(TEXT, "run_id", null=True),
        columns(TEXT, "kind", "actor"),
        columns(INSTANT, "at"),
        columns(TEXT, "body"),
        columns(INTEGER, "leaf_index", null=True),
        columns(BYTES, "leaf_hash"),
        key=("seq",),
        unique=(("id",), ("leaf_index",)),
    )
    index("ledger_entries", "run_id")
    table("ledger_salts", columns(TEXT, "entry_id", "name"), columns(BYTES, "salt"), key=("entry_id", "name"))
    table(
        "notifications",
        columns(TEXT, "run_id", "event_id"),
        columns(BYTES, "body"),
        columns(INSTANT, "created_at"),
        columns(INTEGER, "attempts", default="0"),
        columns(INSTANT, "last_attempt_at", null=True),
        columns(INTEGER, "last_status", null=True),
        columns(TEXT, "last_error", null=True),
        columns(INSTANT, "delivered_at", "stopped_at", null=True),
        key=("run_id",),
        unique=(("event_id",),),
    )
    table(
        "rejections",
        columns(INSTANT, "hour"),
        columns(TEXT, "cause"),
        columns(INTEGER, "count", default="0"),
        columns(FLAG, "counted", default=sa.text("(false)")),
        key=("hour", "cause"),
    )
    table(
        "run_documents",
        columns(INTEGER, "seq"),
        columns(TEXT, "run_id"),
        columns(INTEGER, "version"),
        columns(INSTANT, "fetched_at"),
        columns(BYTES, "body"),
        columns(TEXT, "body_sha256"),
        columns(INTEGER, "size"),
        columns(TEXT, "parse_error", null=True),
        key=("seq",),
        unique=(("run_id", "version"),),
    )
    table(
        "run_events",
        columns(INTEGER, "seq"),
        columns(TEXT, "run_id"),
        columns(INTEGER, "event_id"),
        columns(TEXT, "type"),
        columns(INSTANT, "received_at"),
        columns(TEXT, "data"),
        key=("seq",),
        unique=(("run_id", "event_id"),),
    )
    table(
        "run_steps",
        columns(INTEGER, "id"),
        columns(TEXT, "run_id"),
        columns(INTEGER, "position"),
        columns(TEXT, "upstream_id", "type", "content", "tool_name", null=True),
        columns(JSON, "tool_input", "tool_output", null=True),
        columns(INTEGER, "duration_ms", null=True),
        columns(INSTANT, "timestamp", null=True),
        columns(BYTES, "salt"),
    )
    index("run_steps", "run_id")
    table("run_tags", columns(INTEGER, "run_seq"), columns(TEXT, "key", "run_id", "value"), key=("run_seq", "key"))
    index("run_tags", "key", "value", "run_seq")
    table(
        "run_usage",
        columns(INTEGER, "id"),
        columns(TEXT, "run_id"),
        columns(INTEGER, "position"),
        columns(TEXT, "upstream_id", "kind", "service", "endpoint", "method", null=True),
        columns(INTEGER, "status_code", "cost_micros", null=True),
        columns(INTEGER, "prompt_tokens", "completion_tokens", "total_tokens", null=True),
        columns(TEXT, "model", null=True),
        columns(INSTANT, "timestamp", null=True),
        columns(JSON, "metadata", null=True),
        columns(BYTES, "salt"),
    )
    index("run_usage", "run_id")
    table(
        "runs",
        columns(INTEGER, "seq"),
        columns(TEXT, "id"),
        columns(TEXT, "upstream_id", null=True),
        columns(TEXT, "origin", "status"),
        columns(TEXT, "agent_id", "prompt", "guidance", "instructions", "model", null=True),
        columns(JSON, "object_ids", null=True),
        columns(TEXT, "submitted_by"),
        columns(TEXT, "idempotency_key", "request_sha256", null=True),
        columns(INSTANT, "accepted_at"),
        columns(INSTANT, "created_at", "started_at", "completed_at", "settled_at", null=True),
        columns(TEXT, "settled_by", null=True),
        columns(INSTANT, "cancel_requested_at", "refresh_requested_at", "expected_by", "asked_at", null=True),
        columns(INSTANT, "missing_since", "stray_since", null=True),
        columns(FLAG, "watched", default=sa.text("(false)")),
        columns(INTEGER, "duration_ms", "input_tokens", "output_tokens", "tool_calls", "cost_micros", null=True),
        columns(TEXT, "output", "summary", "failure_reason", "failure_source", null=True),
        columns(INTEGER, "step_count", default="0"),
        columns(INSTANT, "pruned_at", "captured_at", null=True),
        columns(TEXT, "capture_note", null=True),
        key=("seq",),
        unique=(("id",), ("submitted_by", "idempotency_key"), ("upstream_id",)),
        checks={
            "origin": "origin IN ('submitted', 'adopted')",
            "settled_by": "settled_by IN ('watcher', 'platform', 'sweep', 'request')",
            "status": "status IN ('accepted', 'queued', 'running', 'completed', 'failed', 'cancelled', 'refused', "
            "'lost')",
        },
    )
    index("runs", "agent_id", "created_at")
    index("runs", "agent_id", "status")
    for name in ("cost_micros", "created_at", "duration_ms", "model", "settled_at", "status"):
        index("runs", name)
    partial_index("ix_runs_stray", "runs", ["stray_since"], "stray_since IS NOT NULL")
    table(
        "upstream_links",
        columns(TEXT, "upstream_id", "run_id", "role"),
        columns(INSTANT, "linked_at"),
        columns(INSTANT, "cancelled_at", null=True),
        key=("upstream_id",),
        checks={"role": "role IN ('run', 'orphan')"},
    )
    index("upstream_links", "run_id")
    table(
        "webhook_endpoints",
        columns(TEXT, "id"),
        columns(TEXT, "upstream_id", null=True),
        columns(TEXT, "url"),
        columns(INSTANT, "requested_at"),
        columns(INSTANT, "awaiting_since", "registered_at", "removed_at", null=True),
        columns(TEXT, "status", null=True),
        columns(INTEGER, "failures", null=True),
        columns(INSTANT, "checked_at", null=True),
        columns(TEXT, "check_error", null=True),
        unique=(("upstream_id",),),
    )
    table(
        "webhook_secrets",
        columns(TEXT, "id", "endpoint_id"),
        columns(BYTES, "sealed"),
        columns(INSTANT, "created_at"),
        columns(INSTANT, "expires_at", null=True),
    )
    index("webhook_secrets", "endpoint_id")
