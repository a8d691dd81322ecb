-- What `runledger sql` and POST /v1/sql need on PostgreSQL: a role, and the views that it can read.
-- Made from storage/user_sql/readable_columns.py by `make docs`. Run it once, and again after each
-- `runledger migrate`, as the owner of the tables, who has to be allowed to make roles:
--   psql --single-transaction --set ON_ERROR_STOP=1 --file sql-role.sql "$RUNLEDGER_DATABASE_URL"
-- Then give the role a password, in psql: \password runledger_sql

DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'runledger_sql') THEN
        CREATE ROLE runledger_sql LOGIN CONNECTION LIMIT 10;
    END IF;
    EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO runledger_sql', current_database());
END $$;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
ALTER ROLE runledger_sql SET search_path = runledger_sql;
ALTER ROLE runledger_sql SET default_transaction_read_only = on;
ALTER ROLE runledger_sql SET statement_timeout = '10s';
ALTER ROLE runledger_sql SET work_mem = '16MB';
ALTER ROLE runledger_sql SET max_parallel_workers_per_gather = 0;
DROP SCHEMA IF EXISTS runledger_sql CASCADE;
CREATE SCHEMA runledger_sql;
CREATE VIEW runledger_sql.runs AS SELECT
    seq,
    id,
    upstream_id,
    origin,
    status,
    agent_id,
    prompt,
    guidance,
    instructions,
    model,
    object_ids,
    submitted_by,
    idempotency_key,
    CAST(NULL AS TEXT) AS request_sha256,
    accepted_at,
    created_at,
    started_at,
    completed_at,
    settled_at,
    settled_by,
    cancel_requested_at,
    refresh_requested_at,
    expected_by,
    asked_at,
    missing_since,
    lost_create_since,
    watched,
    duration_ms,
    input_tokens,
    output_tokens,
    tool_calls,
    cost_micros,
    output,
    summary,
    failure_reason,
    failure_source,
    step_count,
    pruned_at,
    captured_at,
    capture_note,
    restored_at,
    again_of,
    review
FROM runs;
CREATE VIEW runledger_sql.run_tags AS SELECT
    run_seq,
    key,
    run_id,
    value
FROM run_tags;
CREATE VIEW runledger_sql.run_tools AS SELECT
    name,
    run_seq,
    run_id
FROM run_tools;
CREATE VIEW runledger_sql.run_steps AS SELECT
    id,
    run_id,
    position,
    upstream_id,
    type,
    content,
    tool_name,
    tool_input,
    tool_output,
    duration_ms,
    timestamp,
    CAST(NULL AS BYTEA) AS salt,
    is_failed
FROM run_steps;
CREATE VIEW runledger_sql.run_usage AS SELECT
    id,
    run_id,
    position,
    upstream_id,
    kind,
    service,
    endpoint,
    method,
    status_code,
    cost_micros,
    prompt_tokens,
    completion_tokens,
    total_tokens,
    model,
    timestamp,
    metadata,
    CAST(NULL AS BYTEA) AS salt
FROM run_usage;
CREATE VIEW runledger_sql.run_documents AS SELECT
    seq,
    run_id,
    version,
    fetched_at,
    CAST(NULL AS BYTEA) AS body,
    CAST(NULL AS TEXT) AS body_sha256,
    size,
    parse_error
FROM run_documents;
CREATE VIEW runledger_sql.run_events AS SELECT
    seq,
    run_id,
    event_id,
    type,
    received_at,
    data
FROM run_events;
CREATE VIEW runledger_sql.run_reviews AS SELECT
    seq,
    id,
    run_id,
    verdict,
    comment,
    by,
    at
FROM run_reviews;
CREATE VIEW runledger_sql.upstream_links AS SELECT
    upstream_id,
    run_id,
    role,
    linked_at,
    cancelled_at
FROM upstream_links;
CREATE VIEW runledger_sql.deliveries AS SELECT
    seq,
    id,
    source,
    run_id,
    upstream_id,
    event_id,
    event_type,
    received_at,
    verdict,
    reason,
    duplicate_of,
    repeats,
    last_repeat_at,
    remote_addr,
    CAST(NULL AS JSONB) AS headers,
    CAST(NULL AS BYTEA) AS body,
    CAST(NULL AS TEXT) AS body_sha256,
    size,
    secret_used,
    CAST(NULL AS TEXT) AS dedupe_key
FROM deliveries;
CREATE VIEW runledger_sql.rejections AS SELECT
    hour,
    cause,
    count,
    counted
FROM rejections;
CREATE VIEW runledger_sql.ledger_entries AS SELECT
    seq,
    id,
    run_id,
    kind,
    actor,
    at,
    body,
    leaf_index,
    leaf_hash,
    CAST(NULL AS JSONB) AS salts
FROM ledger_entries;
CREATE VIEW runledger_sql.ledger_nodes AS SELECT
    row,
    position,
    hash
FROM ledger_nodes;
CREATE VIEW runledger_sql.ledger_checkpoints AS SELECT
    size,
    root,
    note,
    signed_at
FROM ledger_checkpoints;
CREATE VIEW runledger_sql.ledger_cosignatures AS SELECT
    size,
    witness,
    line,
    received_at
FROM ledger_cosignatures;
CREATE VIEW runledger_sql.ledger_reports AS SELECT
    subject,
    origin,
    size,
    reached_at,
    problem,
    since,
    halts
FROM ledger_reports;
CREATE VIEW runledger_sql.completeness_reports AS SELECT
    id,
    checked_at,
    body
FROM completeness_reports;
CREATE VIEW runledger_sql.jobs AS SELECT
    seq,
    id,
    kind,
    run_id,
    priority,
    created_at,
    due_at,
    requested,
    trigger,
    pending_trigger,
    lease_owner,
    lease_until,
    fence,
    attempts,
    failures,
    refusals,
    refused_since,
    last_error,
    last_error_at,
    dead_at
FROM jobs;
CREATE VIEW runledger_sql.system_state AS SELECT
    id,
    paused_until,
    pause_reason,
    pause_streak,
    rate_limit,
    upstream_ok_at,
    worker_seen_at,
    swept_at,
    CAST(NULL AS TEXT) AS sweep_cursor,
    sweep_began_at,
    sweep_reached_at,
    sweep_all_handled,
    notifies,
    captures,
    notifies_set_at,
    captures_set_at,
    notifier_seen_at,
    webhooks_fence,
    webhooks_until,
    restored_at,
    copied_at,
    CAST(NULL AS TEXT) AS moved_to
FROM system_state;
CREATE VIEW runledger_sql.notifications AS SELECT
    run_id,
    event_id,
    CAST(NULL AS BYTEA) AS body,
    created_at,
    attempts,
    last_attempt_at,
    last_status,
    last_error,
    delivered_at,
    stopped_at
FROM notifications;
CREATE VIEW runledger_sql.webhook_endpoints AS SELECT
    id,
    upstream_id,
    url,
    requested_at,
    awaiting_since,
    registered_at,
    removed_at,
    status,
    failures,
    checked_at,
    check_error,
    fence
FROM webhook_endpoints;
CREATE VIEW runledger_sql.workers AS SELECT
    id,
    name,
    version,
    began_at,
    seen_at
FROM workers;
CREATE VIEW runledger_sql.backfills AS SELECT
    id,
    agent_id,
    status,
    since,
    CAST(NULL AS TEXT) AS cursor,
    seen,
    taken,
    started_at,
    finished_at
FROM backfills;
CREATE VIEW runledger_sql.bulk_actions AS SELECT
    id,
    action,
    submitted_by,
    actor,
    idempotency_key,
    question,
    run_seqs,
    tags,
    created_at,
    worked_at,
    position,
    last_seq,
    total,
    is_exact,
    done,
    failed,
    errors,
    finished_at,
    is_stopped
FROM bulk_actions;
CREATE VIEW runledger_sql.holds AS SELECT
    id,
    scope,
    target,
    reason,
    placed_by,
    placed_at,
    released_by,
    released_at
FROM holds;
CREATE VIEW runledger_sql.unknown_runs AS SELECT
    upstream_id,
    listed_at,
    ask_at,
    missing_since
FROM unknown_runs;
CREATE VIEW runledger_sql.agents AS SELECT
    id,
    name,
    seen_at
FROM agents;
CREATE VIEW runledger_sql.passages AS SELECT
    id,
    part,
    step,
    start,
    stop
FROM passages;
CREATE VIEW runledger_sql.search_queue AS SELECT
    run_seq,
    version,
    enqueued_at
FROM search_queue;
CREATE VIEW runledger_sql.rollup_sums AS SELECT
    dimension,
    span,
    status,
    period,
    key,
    runs,
    cost_micros,
    input_tokens,
    output_tokens,
    timed,
    duration_ms,
    max_duration_ms,
    p50_ms,
    p90_ms,
    p95_ms,
    p99_ms,
    histogram
FROM rollup_sums;
GRANT USAGE ON SCHEMA runledger_sql TO runledger_sql;
GRANT SELECT ON ALL TABLES IN SCHEMA runledger_sql TO runledger_sql;
