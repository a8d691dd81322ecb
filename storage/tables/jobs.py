"""The columns of the tables of `storage/models/jobs.py`, made from it by `make docs`."""

from storage.tables.declare import table

JOBS = table(
    "jobs",
    """integer: seq* text: id kind run_id integer: priority instant: created_at due_at integer: requested=1
    text: trigger? pending_trigger? lease_owner? instant: lease_until? integer: fence=0 attempts=0
    failures=0 refusals=0 instant: refused_since? text: last_error? instant: last_error_at? dead_at?""",
)

SYSTEM_STATE = table(
    "system_state",
    """integer: id* instant: paused_until? text: pause_reason? integer: pause_streak=0 json: rate_limit?
    instant: upstream_ok_at? worker_seen_at? swept_at? text: sweep_cursor? instant: sweep_began_at?
    sweep_reached_at? flag: sweep_all_handled notifies captures instant: notifies_set_at? captures_set_at?
    notifier_seen_at? integer: webhooks_fence=0 instant: webhooks_until? restored_at? copied_at? text:
    moved_to?""",
)

BACKFILLS = table(
    "backfills",
    """text: id* agent_id? status? instant: since? text: cursor? integer: seen=0 taken=0 instant: started_at
    finished_at?""",
)

UNKNOWN_RUNS = table("unknown_runs", "text: upstream_id* instant: listed_at ask_at missing_since?")
