"""The first schema."""

from storage.migrations.declarations import index, partial_index, table

revision = "0001"
down_revision = None


def upgrade() -> None:
    table(
        "api_keys",
        "text: id* name json: scopes text: secret_sha256 instant: created_at revoked_at? last_used_at?",
    )
    table(
        "backfills",
        """text: id* agent_id? status? instant: since? text: cursor? integer: seen=0 taken=0 instant:
        started_at finished_at?""",
    )
    table(
        "deliveries",
        """integer: seq* text: id road run_id? upstream_id? event_id? event_type? instant: received_at text:
        verdict reason? duplicate_of? integer: repeats=0 instant: last_repeat_at? text: remote_addr? json:
        headers? bytes: body text: body_sha256 integer: size text: secret_used? dedupe_key?""",
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
        """integer: id* instant: paused_until? text: pause_reason? integer: pause_streak=0 json: rate_limit?
        instant: upstream_ok_at? worker_seen_at? swept_at? flag: notifies captures""",
        checks={"one_row": "id = 1"},
    )
    table(
        "jobs",
        """integer: seq* text: id kind run_id integer: priority instant: created_at due_at integer: wanted=1
        text: road? late_road? lease_owner? instant: lease_until? integer: fence=0 attempts=0 failures=0
        refusals=0 instant: refused_since? text: last_error? instant: last_error_at? dead_at?""",
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
        "integer: seq* text: id run_id? kind actor instant: at text: body integer: leaf_index? bytes: leaf_hash",
        unique=(("id",), ("leaf_index",)),
    )
    index("ledger_entries", "run_id")
    table("ledger_salts", "text: entry_id* name* bytes: salt")
    table(
        "notifications",
        """text: run_id* event_id bytes: body instant: created_at integer: attempts=0 instant: last_attempt_at?
        integer: last_status? text: last_error? instant: delivered_at? stopped_at?""",
        unique=(("event_id",),),
    )
    table("rejections", "instant: hour* text: cause* integer: count=0 flag: counted")
    table(
        "run_documents",
        """integer: seq* text: run_id integer: version instant: fetched_at bytes: body text: body_sha256
        integer: size text: parse_error?""",
        unique=(("run_id", "version"),),
    )
    table(
        "run_events",
        "integer: seq* text: run_id integer: event_id text: type instant: received_at text: data",
        unique=(("run_id", "event_id"),),
    )
    table(
        "run_steps",
        """integer: id* text: run_id integer: position text: upstream_id? type? content? tool_name? json:
        tool_input? tool_output? integer: duration_ms? instant: timestamp? bytes: salt""",
    )
    index("run_steps", "run_id")
    table("run_tags", "integer: run_seq* text: key* run_id value")
    index("run_tags", "key", "value", "run_seq")
    table(
        "run_usage",
        """integer: id* text: run_id integer: position text: upstream_id? kind? service? endpoint? method?
        integer: status_code? cost_micros? prompt_tokens? completion_tokens? total_tokens? text: model?
        instant: timestamp? json: metadata? bytes: salt""",
    )
    index("run_usage", "run_id")
    table(
        "runs",
        """integer: seq* text: id upstream_id? origin status agent_id? prompt? guidance? instructions? model?
        json: object_ids? text: submitted_by idempotency_key? request_sha256? instant: accepted_at
        created_at? started_at? completed_at? settled_at? text: settled_by? instant: cancel_requested_at?
        refresh_requested_at? expected_by? asked_at? missing_since? stray_since? flag: watched integer:
        duration_ms? input_tokens? output_tokens? tool_calls? cost_micros? text: output? summary?
        failure_reason? failure_source? integer: step_count=0 instant: pruned_at? captured_at? text:
        capture_note?""",
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
        "text: upstream_id* run_id role instant: linked_at cancelled_at?",
        checks={"role": "role IN ('run', 'orphan')"},
    )
    index("upstream_links", "run_id")
    table(
        "webhook_endpoints",
        """text: id* upstream_id? url instant: requested_at awaiting_since? registered_at? removed_at? text:
        status? integer: failures? instant: checked_at? text: check_error?""",
        unique=(("upstream_id",),),
    )
    table("webhook_secrets", "text: id* endpoint_id bytes: sealed instant: created_at expires_at?")
    index("webhook_secrets", "endpoint_id")
