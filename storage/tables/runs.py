"""The columns of the tables of `storage/models/runs.py`, made from it by `make docs`."""

from storage.tables.declare import table

RUNS = table(
    "runs",
    """integer: seq* text: id upstream_id? origin status agent_id? prompt? guidance? instructions? model?
    json: object_ids? text: submitted_by idempotency_key? request_sha256? instant: accepted_at created_at?
    started_at? completed_at? settled_at? text: settled_by? instant: cancel_requested_at?
    refresh_requested_at? expected_by? asked_at? missing_since? lost_create_since? flag: watched integer:
    duration_ms? input_tokens? output_tokens? tool_calls? cost_micros? text: output? summary?
    failure_reason? failure_source? integer: step_count=0 instant: pruned_at? captured_at? text:
    capture_note? instant: restored_at?""",
)

RUN_TAGS = table("run_tags", "integer: run_seq* text: key* run_id value")

RUN_TOOLS = table("run_tools", "text: name* integer: run_seq* text: run_id")

RUN_STEPS = table(
    "run_steps",
    """integer: id* text: run_id integer: position text: upstream_id? type? content? tool_name? json:
    tool_input? tool_output? integer: duration_ms? instant: timestamp? bytes: salt""",
)

RUN_USAGE = table(
    "run_usage",
    """integer: id* text: run_id integer: position text: upstream_id? kind? service? endpoint? method?
    integer: status_code? cost_micros? prompt_tokens? completion_tokens? total_tokens? text: model? instant:
    timestamp? json: metadata? bytes: salt""",
)

RUN_DOCUMENTS = table(
    "run_documents",
    """integer: seq* text: run_id integer: version instant: fetched_at bytes: body text: body_sha256
    integer: size text: parse_error?""",
)

RUN_EVENTS = table(
    "run_events",
    """integer: seq* text: run_id integer: event_id text: type instant: received_at text: data""",
)

UPSTREAM_LINKS = table("upstream_links", "text: upstream_id* run_id role instant: linked_at cancelled_at?")
