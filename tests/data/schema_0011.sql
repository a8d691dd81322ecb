--
-- PostgreSQL database dump
--


-- Dumped from database version 18.4
-- Dumped by pg_dump version 18.4

SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET transaction_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

SET default_tablespace = '';

SET default_table_access_method = heap;

--
-- Name: alembic_version; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.alembic_version (
    version_num character varying(32) NOT NULL
);


--
-- Name: api_keys; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.api_keys (
    id text NOT NULL,
    name text NOT NULL,
    scopes jsonb NOT NULL,
    secret_sha256 text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    revoked_at timestamp with time zone,
    last_used_at timestamp with time zone
);


--
-- Name: backfills; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.backfills (
    id text NOT NULL,
    agent_id text,
    status text,
    since timestamp with time zone,
    cursor text,
    seen bigint DEFAULT '0'::bigint NOT NULL,
    taken bigint DEFAULT '0'::bigint NOT NULL,
    started_at timestamp with time zone NOT NULL,
    finished_at timestamp with time zone
);


--
-- Name: deliveries; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.deliveries (
    seq bigint NOT NULL,
    id text NOT NULL,
    road text NOT NULL,
    run_id text,
    upstream_id text,
    event_id text,
    event_type text,
    received_at timestamp with time zone NOT NULL,
    verdict text NOT NULL,
    reason text,
    duplicate_of text,
    repeats bigint DEFAULT '0'::bigint NOT NULL,
    last_repeat_at timestamp with time zone,
    remote_addr text,
    headers jsonb,
    body bytea NOT NULL,
    body_sha256 text NOT NULL,
    size bigint NOT NULL,
    secret_used text,
    dedupe_key text,
    CONSTRAINT ck_deliveries_road CHECK ((road = ANY (ARRAY['watcher'::text, 'platform'::text]))),
    CONSTRAINT ck_deliveries_verdict CHECK ((verdict = ANY (ARRAY['accepted'::text, 'duplicate'::text, 'rejected'::text])))
);


--
-- Name: deliveries_seq_seq; Type: SEQUENCE; Schema: public; Owner: -
--

CREATE SEQUENCE public.deliveries_seq_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


--
-- Name: deliveries_seq_seq; Type: SEQUENCE OWNED BY; Schema: public; Owner: -
--

ALTER SEQUENCE public.deliveries_seq_seq OWNED BY public.deliveries.seq;


--
-- Name: house; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.house (
    id bigint NOT NULL,
    paused_until timestamp with time zone,
    pause_reason text,
    pause_streak bigint DEFAULT '0'::bigint NOT NULL,
    rate_limit jsonb,
    upstream_ok_at timestamp with time zone,
    worker_seen_at timestamp with time zone,
    swept_at timestamp with time zone,
    notifies boolean DEFAULT false NOT NULL,
    captures boolean DEFAULT false NOT NULL,
    restored_at timestamp with time zone,
    copied_at timestamp with time zone,
    moved_to text,
    sweep_cursor text,
    sweep_began_at timestamp with time zone,
    sweep_reached_at timestamp with time zone,
    sweep_met boolean DEFAULT false NOT NULL,
    notifies_set_at timestamp with time zone,
    captures_set_at timestamp with time zone,
    notifier_seen_at timestamp with time zone,
    webhooks_until timestamp with time zone,
    webhooks_fence bigint DEFAULT '0'::bigint NOT NULL,
    CONSTRAINT ck_house_one_row CHECK ((id = 1))
);


--
-- Name: house_id_seq; Type: SEQUENCE; Schema: public; Owner: -
--

CREATE SEQUENCE public.house_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


--
-- Name: house_id_seq; Type: SEQUENCE OWNED BY; Schema: public; Owner: -
--

ALTER SEQUENCE public.house_id_seq OWNED BY public.house.id;


--
-- Name: jobs; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.jobs (
    seq bigint NOT NULL,
    id text NOT NULL,
    kind text NOT NULL,
    run_id text NOT NULL,
    priority bigint NOT NULL,
    created_at timestamp with time zone NOT NULL,
    due_at timestamp with time zone NOT NULL,
    wanted bigint DEFAULT '1'::bigint NOT NULL,
    road text,
    late_road text,
    lease_owner text,
    lease_until timestamp with time zone,
    fence bigint DEFAULT '0'::bigint NOT NULL,
    attempts bigint DEFAULT '0'::bigint NOT NULL,
    failures bigint DEFAULT '0'::bigint NOT NULL,
    refusals bigint DEFAULT '0'::bigint NOT NULL,
    refused_since timestamp with time zone,
    last_error text,
    last_error_at timestamp with time zone,
    dead_at timestamp with time zone,
    CONSTRAINT ck_jobs_kind CHECK ((kind = ANY (ARRAY['start'::text, 'settle'::text, 'cancel'::text, 'orphan'::text, 'adopt'::text, 'sweep'::text, 'notify'::text, 'capture'::text, 'check'::text]))),
    CONSTRAINT ck_jobs_road CHECK ((road = ANY (ARRAY['watcher'::text, 'platform'::text, 'sweep'::text, 'request'::text])))
);


--
-- Name: jobs_seq_seq; Type: SEQUENCE; Schema: public; Owner: -
--

CREATE SEQUENCE public.jobs_seq_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


--
-- Name: jobs_seq_seq; Type: SEQUENCE OWNED BY; Schema: public; Owner: -
--

ALTER SEQUENCE public.jobs_seq_seq OWNED BY public.jobs.seq;


--
-- Name: ledger_entries; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.ledger_entries (
    seq bigint NOT NULL,
    id text NOT NULL,
    run_id text,
    kind text NOT NULL,
    actor text NOT NULL,
    at timestamp with time zone NOT NULL,
    body text NOT NULL,
    leaf_index bigint,
    leaf_hash bytea NOT NULL
);


--
-- Name: ledger_entries_seq_seq; Type: SEQUENCE; Schema: public; Owner: -
--

CREATE SEQUENCE public.ledger_entries_seq_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


--
-- Name: ledger_entries_seq_seq; Type: SEQUENCE OWNED BY; Schema: public; Owner: -
--

ALTER SEQUENCE public.ledger_entries_seq_seq OWNED BY public.ledger_entries.seq;


--
-- Name: ledger_salts; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.ledger_salts (
    entry_id text NOT NULL,
    name text NOT NULL,
    salt bytea NOT NULL
);


--
-- Name: notifications; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.notifications (
    run_id text NOT NULL,
    event_id text NOT NULL,
    body bytea NOT NULL,
    created_at timestamp with time zone NOT NULL,
    attempts bigint DEFAULT '0'::bigint NOT NULL,
    last_attempt_at timestamp with time zone,
    last_status bigint,
    last_error text,
    delivered_at timestamp with time zone,
    stopped_at timestamp with time zone
);


--
-- Name: passage_words; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.passage_words (
    id bigint NOT NULL,
    words tsvector NOT NULL
);


--
-- Name: passages; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.passages (
    id bigint NOT NULL,
    part text NOT NULL,
    step bigint,
    start bigint NOT NULL,
    stop bigint NOT NULL,
    CONSTRAINT ck_passages_part CHECK ((part = ANY (ARRAY['prompt'::text, 'guidance'::text, 'output'::text, 'summary'::text, 'failure_reason'::text, 'step'::text, 'tool_input'::text, 'tool_output'::text])))
);


--
-- Name: passages_id_seq; Type: SEQUENCE; Schema: public; Owner: -
--

CREATE SEQUENCE public.passages_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


--
-- Name: passages_id_seq; Type: SEQUENCE OWNED BY; Schema: public; Owner: -
--

ALTER SEQUENCE public.passages_id_seq OWNED BY public.passages.id;


--
-- Name: rejections; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.rejections (
    hour timestamp with time zone NOT NULL,
    cause text NOT NULL,
    count bigint DEFAULT '0'::bigint NOT NULL,
    counted boolean DEFAULT false NOT NULL
);


--
-- Name: rollup_agents; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.rollup_agents (
    day text NOT NULL,
    agent_id text NOT NULL,
    status text NOT NULL,
    created boolean NOT NULL,
    runs bigint NOT NULL,
    cost_micros bigint NOT NULL,
    input_tokens bigint NOT NULL,
    output_tokens bigint NOT NULL,
    timed bigint NOT NULL,
    duration_ms bigint NOT NULL,
    max_duration_ms bigint NOT NULL,
    CONSTRAINT ck_rollup_agents_status CHECK ((status = ANY (ARRAY['accepted'::text, 'queued'::text, 'running'::text, 'completed'::text, 'failed'::text, 'cancelled'::text, 'refused'::text, 'lost'::text])))
);


--
-- Name: rollup_durations; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.rollup_durations (
    dimension text NOT NULL,
    key text NOT NULL,
    month text NOT NULL,
    status text NOT NULL,
    created boolean NOT NULL,
    bucket bigint NOT NULL,
    runs bigint NOT NULL,
    CONSTRAINT ck_rollup_durations_status CHECK ((status = ANY (ARRAY['accepted'::text, 'queued'::text, 'running'::text, 'completed'::text, 'failed'::text, 'cancelled'::text, 'refused'::text, 'lost'::text])))
);


--
-- Name: rollup_models; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.rollup_models (
    day text NOT NULL,
    model text NOT NULL,
    status text NOT NULL,
    created boolean NOT NULL,
    runs bigint NOT NULL,
    cost_micros bigint NOT NULL,
    input_tokens bigint NOT NULL,
    output_tokens bigint NOT NULL,
    timed bigint NOT NULL,
    duration_ms bigint NOT NULL,
    max_duration_ms bigint NOT NULL,
    CONSTRAINT ck_rollup_models_status CHECK ((status = ANY (ARRAY['accepted'::text, 'queued'::text, 'running'::text, 'completed'::text, 'failed'::text, 'cancelled'::text, 'refused'::text, 'lost'::text])))
);


--
-- Name: run_documents; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.run_documents (
    seq bigint NOT NULL,
    run_id text NOT NULL,
    version bigint NOT NULL,
    fetched_at timestamp with time zone NOT NULL,
    body bytea NOT NULL,
    body_sha256 text NOT NULL,
    size bigint NOT NULL,
    parse_error text
);


--
-- Name: run_documents_seq_seq; Type: SEQUENCE; Schema: public; Owner: -
--

CREATE SEQUENCE public.run_documents_seq_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


--
-- Name: run_documents_seq_seq; Type: SEQUENCE OWNED BY; Schema: public; Owner: -
--

ALTER SEQUENCE public.run_documents_seq_seq OWNED BY public.run_documents.seq;


--
-- Name: run_events; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.run_events (
    seq bigint NOT NULL,
    run_id text NOT NULL,
    event_id bigint NOT NULL,
    type text NOT NULL,
    received_at timestamp with time zone NOT NULL,
    data text NOT NULL
);


--
-- Name: run_events_seq_seq; Type: SEQUENCE; Schema: public; Owner: -
--

CREATE SEQUENCE public.run_events_seq_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


--
-- Name: run_events_seq_seq; Type: SEQUENCE OWNED BY; Schema: public; Owner: -
--

ALTER SEQUENCE public.run_events_seq_seq OWNED BY public.run_events.seq;


--
-- Name: run_steps; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.run_steps (
    id bigint NOT NULL,
    run_id text NOT NULL,
    "position" bigint NOT NULL,
    upstream_id text,
    type text,
    content text,
    tool_name text,
    tool_input jsonb,
    tool_output jsonb,
    duration_ms bigint,
    "timestamp" timestamp with time zone,
    salt bytea NOT NULL
);


--
-- Name: run_steps_id_seq; Type: SEQUENCE; Schema: public; Owner: -
--

CREATE SEQUENCE public.run_steps_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


--
-- Name: run_steps_id_seq; Type: SEQUENCE OWNED BY; Schema: public; Owner: -
--

ALTER SEQUENCE public.run_steps_id_seq OWNED BY public.run_steps.id;


--
-- Name: run_tags; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.run_tags (
    run_seq bigint NOT NULL,
    key text NOT NULL,
    run_id text NOT NULL,
    value text NOT NULL
);


--
-- Name: run_tools; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.run_tools (
    name text NOT NULL,
    run_seq bigint NOT NULL,
    run_id text NOT NULL
);


--
-- Name: run_usage; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.run_usage (
    id bigint NOT NULL,
    run_id text NOT NULL,
    "position" bigint NOT NULL,
    upstream_id text,
    kind text,
    service text,
    endpoint text,
    method text,
    status_code bigint,
    cost_micros bigint,
    prompt_tokens bigint,
    completion_tokens bigint,
    total_tokens bigint,
    model text,
    "timestamp" timestamp with time zone,
    metadata jsonb,
    salt bytea NOT NULL
);


--
-- Name: run_usage_id_seq; Type: SEQUENCE; Schema: public; Owner: -
--

CREATE SEQUENCE public.run_usage_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


--
-- Name: run_usage_id_seq; Type: SEQUENCE OWNED BY; Schema: public; Owner: -
--

ALTER SEQUENCE public.run_usage_id_seq OWNED BY public.run_usage.id;


--
-- Name: runs; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.runs (
    seq bigint NOT NULL,
    id text NOT NULL,
    upstream_id text,
    origin text NOT NULL,
    status text NOT NULL,
    agent_id text,
    prompt text,
    guidance text,
    instructions text,
    model text,
    object_ids jsonb,
    submitted_by text NOT NULL,
    idempotency_key text,
    request_sha256 text,
    accepted_at timestamp with time zone NOT NULL,
    created_at timestamp with time zone,
    started_at timestamp with time zone,
    completed_at timestamp with time zone,
    settled_at timestamp with time zone,
    settled_by text,
    cancel_requested_at timestamp with time zone,
    refresh_requested_at timestamp with time zone,
    expected_by timestamp with time zone,
    asked_at timestamp with time zone,
    missing_since timestamp with time zone,
    stray_since timestamp with time zone,
    watched boolean DEFAULT false NOT NULL,
    duration_ms bigint,
    input_tokens bigint,
    output_tokens bigint,
    tool_calls bigint,
    cost_micros bigint,
    output text,
    summary text,
    failure_reason text,
    failure_source text,
    step_count bigint DEFAULT '0'::bigint NOT NULL,
    pruned_at timestamp with time zone,
    captured_at timestamp with time zone,
    capture_note text,
    restored_at timestamp with time zone,
    CONSTRAINT ck_runs_origin CHECK ((origin = ANY (ARRAY['submitted'::text, 'adopted'::text]))),
    CONSTRAINT ck_runs_settled_by CHECK ((settled_by = ANY (ARRAY['watcher'::text, 'platform'::text, 'sweep'::text, 'request'::text]))),
    CONSTRAINT ck_runs_status CHECK ((status = ANY (ARRAY['accepted'::text, 'queued'::text, 'running'::text, 'completed'::text, 'failed'::text, 'cancelled'::text, 'refused'::text, 'lost'::text])))
);


--
-- Name: runs_seq_seq; Type: SEQUENCE; Schema: public; Owner: -
--

CREATE SEQUENCE public.runs_seq_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


--
-- Name: runs_seq_seq; Type: SEQUENCE OWNED BY; Schema: public; Owner: -
--

ALTER SEQUENCE public.runs_seq_seq OWNED BY public.runs.seq;


--
-- Name: search_queue; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.search_queue (
    run_seq bigint NOT NULL,
    version bigint NOT NULL,
    wished_at timestamp with time zone NOT NULL
);


--
-- Name: search_queue_run_seq_seq; Type: SEQUENCE; Schema: public; Owner: -
--

CREATE SEQUENCE public.search_queue_run_seq_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


--
-- Name: search_queue_run_seq_seq; Type: SEQUENCE OWNED BY; Schema: public; Owner: -
--

ALTER SEQUENCE public.search_queue_run_seq_seq OWNED BY public.search_queue.run_seq;


--
-- Name: unknown_runs; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.unknown_runs (
    upstream_id text NOT NULL,
    listed_at timestamp with time zone NOT NULL,
    ask_at timestamp with time zone NOT NULL,
    missing_since timestamp with time zone
);


--
-- Name: upstream_links; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.upstream_links (
    upstream_id text NOT NULL,
    run_id text NOT NULL,
    role text NOT NULL,
    linked_at timestamp with time zone NOT NULL,
    cancelled_at timestamp with time zone,
    CONSTRAINT ck_upstream_links_role CHECK ((role = ANY (ARRAY['run'::text, 'orphan'::text])))
);


--
-- Name: webhook_endpoints; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.webhook_endpoints (
    id text NOT NULL,
    upstream_id text,
    url text NOT NULL,
    requested_at timestamp with time zone NOT NULL,
    awaiting_since timestamp with time zone,
    registered_at timestamp with time zone,
    removed_at timestamp with time zone,
    status text,
    failures bigint,
    checked_at timestamp with time zone,
    check_error text,
    fence bigint DEFAULT '0'::bigint NOT NULL
);


--
-- Name: webhook_secrets; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.webhook_secrets (
    id text NOT NULL,
    endpoint_id text NOT NULL,
    sealed bytea NOT NULL,
    created_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone,
    fence bigint DEFAULT '0'::bigint NOT NULL
);


--
-- Name: deliveries seq; Type: DEFAULT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.deliveries ALTER COLUMN seq SET DEFAULT nextval('public.deliveries_seq_seq'::regclass);


--
-- Name: house id; Type: DEFAULT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.house ALTER COLUMN id SET DEFAULT nextval('public.house_id_seq'::regclass);


--
-- Name: jobs seq; Type: DEFAULT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.jobs ALTER COLUMN seq SET DEFAULT nextval('public.jobs_seq_seq'::regclass);


--
-- Name: ledger_entries seq; Type: DEFAULT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.ledger_entries ALTER COLUMN seq SET DEFAULT nextval('public.ledger_entries_seq_seq'::regclass);


--
-- Name: passages id; Type: DEFAULT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.passages ALTER COLUMN id SET DEFAULT nextval('public.passages_id_seq'::regclass);


--
-- Name: run_documents seq; Type: DEFAULT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.run_documents ALTER COLUMN seq SET DEFAULT nextval('public.run_documents_seq_seq'::regclass);


--
-- Name: run_events seq; Type: DEFAULT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.run_events ALTER COLUMN seq SET DEFAULT nextval('public.run_events_seq_seq'::regclass);


--
-- Name: run_steps id; Type: DEFAULT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.run_steps ALTER COLUMN id SET DEFAULT nextval('public.run_steps_id_seq'::regclass);


--
-- Name: run_usage id; Type: DEFAULT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.run_usage ALTER COLUMN id SET DEFAULT nextval('public.run_usage_id_seq'::regclass);


--
-- Name: runs seq; Type: DEFAULT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.runs ALTER COLUMN seq SET DEFAULT nextval('public.runs_seq_seq'::regclass);


--
-- Name: search_queue run_seq; Type: DEFAULT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.search_queue ALTER COLUMN run_seq SET DEFAULT nextval('public.search_queue_run_seq_seq'::regclass);


--
-- Data for Name: alembic_version; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.alembic_version VALUES ('0011');


--
-- Data for Name: api_keys; Type: TABLE DATA; Schema: public; Owner: -
--



--
-- Data for Name: backfills; Type: TABLE DATA; Schema: public; Owner: -
--



--
-- Data for Name: deliveries; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.deliveries VALUES (1, '01a20846-fe00-78c9-9849-00e872152d80', 'watcher', '01a20846-fe00-719a-b166-e02f3ca9fd60', 'run_live', NULL, NULL, '2026-11-23 12:00:00+00', 'accepted', NULL, NULL, 0, NULL, '127.0.0.1', '{"content-type": "application/json"}', '\x7b2272756e4964223a2272756e5f31222c22737461747573223a22636f6d706c65746564227d', 'e5a465a3b0029063f1c821f91ba0f14a09dfed9f9da61190c9d3bf981aa5ed01', 38, NULL, 'key:01a20846-fe00-719a-b166-e02f3ca9fd60');
INSERT INTO public.deliveries VALUES (2, '01a20846-fe00-7fe3-b9bf-e236f1f4bedd', 'platform', '01a20846-fe00-719a-b166-e02f3ca9fd60', 'run_live', 'evt_39f846da909899ce', NULL, '2026-11-23 12:00:00+00', 'accepted', NULL, NULL, 0, NULL, '127.0.0.1', '{"content-type": "application/json"}', '\x7b2272756e4964223a2272756e5f31222c22737461747573223a22636f6d706c65746564227d', 'e5a465a3b0029063f1c821f91ba0f14a09dfed9f9da61190c9d3bf981aa5ed01', 38, NULL, 'key:evt_39f846da909899ce');
INSERT INTO public.deliveries VALUES (3, '01a20846-fe00-78cc-8118-a03b1bda0fd1', 'platform', NULL, 'run_unknown', 'evt_c6fa1b657a114660', NULL, '2026-11-23 12:00:00+00', 'accepted', NULL, NULL, 0, NULL, '127.0.0.1', '{"content-type": "application/json"}', '\x7b2272756e4964223a2272756e5f31222c22737461747573223a22636f6d706c65746564227d', 'e5a465a3b0029063f1c821f91ba0f14a09dfed9f9da61190c9d3bf981aa5ed01', 38, NULL, 'key:evt_c6fa1b657a114660');


--
-- Data for Name: house; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.house VALUES (1, NULL, NULL, 0, NULL, NULL, NULL, NULL, true, false, NULL, NULL, NULL, NULL, NULL, NULL, false, '2026-11-23 12:00:00+00', NULL, NULL, NULL, 0);


--
-- Data for Name: jobs; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.jobs VALUES (8, '01a20846-fe00-7aad-825f-d6778527d834', 'start', '01a20846-fe00-74c2-866b-7746dc63ebc5', 0, '2026-11-23 12:00:00+00', '2026-11-23 12:00:00+00', 1, 'request', NULL, 'worker', '2026-11-23 12:01:00+00', 1, 1, 0, 0, NULL, NULL, NULL, NULL);
INSERT INTO public.jobs VALUES (9, '01a20846-fe00-7775-a9d0-40ce8facdabc', 'settle', '01a20846-fe00-719a-b166-e02f3ca9fd60', 0, '2026-11-23 12:00:00+00', '2026-11-23 12:00:00+00', 2, 'watcher', NULL, NULL, NULL, 0, 0, 0, 0, NULL, NULL, NULL, NULL);
INSERT INTO public.jobs VALUES (3, '01a20847-f418-7906-ad51-e7afd09670a3', 'notify', '01a20846-fe00-7980-b50a-d3c325156cc9', 4, '2026-11-23 12:01:03+00', '2026-11-23 12:01:03+00', 1, NULL, NULL, NULL, NULL, 0, 0, 0, 0, NULL, NULL, NULL, NULL);
INSERT INTO public.jobs VALUES (6, '01a20847-f418-7cb1-8019-27afc6b278a8', 'notify', '01a20846-fe00-7d15-82b9-991651931b86', 4, '2026-11-23 12:01:03+00', '2026-11-23 12:01:03+00', 1, NULL, NULL, NULL, NULL, 0, 0, 0, 0, NULL, NULL, NULL, NULL);


--
-- Data for Name: ledger_entries; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.ledger_entries VALUES (2, '01a20847-01e8-712b-b19d-efa4b1a30273', '01a20846-fe00-7980-b50a-d3c325156cc9', 'run.created', 'worker', '2026-11-23 12:00:01+00', '{"actor":"worker","at":"2026-11-23T12:00:01.000000Z","digests":{},"facts":{"upstreamId":"run_settled"},"kind":"run.created","run":"01a20846-fe00-7980-b50a-d3c325156cc9","v":1}', 1, '\xf23f8fd78c34647c1b4d5f4c60ba193a184df5203bf94c88a52db50d35f60921');
INSERT INTO public.ledger_entries VALUES (1, '01a20846-fe00-7e65-ab0e-57a7b3e76b63', '01a20846-fe00-7980-b50a-d3c325156cc9', 'run.accepted', 'key:backend', '2026-11-23 12:00:00+00', '{"actor":"key:backend","at":"2026-11-23T12:00:00.000000Z","digests":{"prompt":"86ca2a9dbeb7c74e0ff895ca9214465cceef50257e5ad4359df486688518d1e2"},"facts":{"agentId":"agent_1","origin":"submitted","submittedBy":"backend"},"kind":"run.accepted","run":"01a20846-fe00-7980-b50a-d3c325156cc9","v":1}', 0, '\x78197c7f3e0a213b2f0d56a42fa2103c08c3fbfc9bcca6fb536ed60ca82e3605');
INSERT INTO public.ledger_entries VALUES (3, '01a20847-05d0-7911-a9d1-a17603d1177e', '01a20846-fe00-7980-b50a-d3c325156cc9', 'run.started', 'worker', '2026-11-23 12:00:02+00', '{"actor":"worker","at":"2026-11-23T12:00:02.000000Z","digests":{},"facts":{"via":"exec"},"kind":"run.started","run":"01a20846-fe00-7980-b50a-d3c325156cc9","v":1}', 2, '\x732adc92b52d9a850bbf282d45ca59a273341aa06d4a52bd6790c7be0f3abda5');
INSERT INTO public.ledger_entries VALUES (4, '01a20847-f418-703a-b8d3-6be122d50361', '01a20846-fe00-7980-b50a-d3c325156cc9', 'run.completed', 'upstream', '2026-11-23 12:01:03+00', '{"actor":"upstream","at":"2026-11-23T12:01:03.000000Z","digests":{"document":"558b8b37002072b7e0798218026bfa9b458e5c99ec52c2b81da2156f21436a9a","output":"7f03b0482c6aa17568fe02c8e9ffb5ca3119b45f33d310e376c0e013ec2f63be","steps":"4affdfb21d502b36db57faf43025ed35db8867e8683805e1156ff4780d2d31a4","summary":"26463382dd1f6b2ec6d4f27d6bc57cd119c782305c7964e958d102e17ec1da0b","usage":"e7ce3fb731afa54ccec1473b06d21bbb472856f8136f3fac6f91f1723003c201"},"facts":{"completedAt":"2026-11-23T12:01:02.000000Z","costMicros":3000,"createdAt":"2026-11-23T12:00:01.000000Z","documentVersion":1,"durationMs":60000,"inputTokens":90,"outputTokens":36,"settledAt":"2026-11-23T12:01:03.000000Z","settledBy":"watcher","startedAt":"2026-11-23T12:00:02.000000Z","stepCount":3,"toolCalls":2},"kind":"run.completed","run":"01a20846-fe00-7980-b50a-d3c325156cc9","v":1}', 3, '\x1768e263f4e78ebcea3840351d3d529dfc7a78805df1ecdf1e585d5213bd5380');
INSERT INTO public.ledger_entries VALUES (5, '01a20846-fe00-707d-9da4-6ffb39b5c3c0', '01a20846-fe00-7d15-82b9-991651931b86', 'run.accepted', 'key:backend', '2026-11-23 12:00:00+00', '{"actor":"key:backend","at":"2026-11-23T12:00:00.000000Z","digests":{"prompt":"4dfc56fb37df11760dabce584ad3f84eb15cb8c236427f2e4d4afd310840479b"},"facts":{"agentId":"agent_1","origin":"submitted","submittedBy":"backend"},"kind":"run.accepted","run":"01a20846-fe00-7d15-82b9-991651931b86","v":1}', 4, '\x08ad475eb2a9fdd489f75c2db954afe7a70eadec98435441fe35ae8cf89e4b80');
INSERT INTO public.ledger_entries VALUES (6, '01a20847-01e8-7e4e-8cf8-67970cbf3698', '01a20846-fe00-7d15-82b9-991651931b86', 'run.created', 'worker', '2026-11-23 12:00:01+00', '{"actor":"worker","at":"2026-11-23T12:00:01.000000Z","digests":{},"facts":{"upstreamId":"run_failed"},"kind":"run.created","run":"01a20846-fe00-7d15-82b9-991651931b86","v":1}', 5, '\x6de7fb71c15f2fe46e5aca05584337353e63965ecc21cbe83f951d5f506d2190');
INSERT INTO public.ledger_entries VALUES (7, '01a20847-05d0-7ef1-95be-77669ce66fe8', '01a20846-fe00-7d15-82b9-991651931b86', 'run.started', 'worker', '2026-11-23 12:00:02+00', '{"actor":"worker","at":"2026-11-23T12:00:02.000000Z","digests":{},"facts":{"via":"exec"},"kind":"run.started","run":"01a20846-fe00-7d15-82b9-991651931b86","v":1}', 6, '\x6fd94641ce8e905ffac8e10c6c106fced59bd8b99e62bbf57fde118bd8f3afa0');
INSERT INTO public.ledger_entries VALUES (8, '01a20847-f418-7dd5-aa21-c8074f6a2a70', '01a20846-fe00-7d15-82b9-991651931b86', 'run.failed', 'upstream', '2026-11-23 12:01:03+00', '{"actor":"upstream","at":"2026-11-23T12:01:03.000000Z","digests":{"document":"fb774fbc4be5d1eb2360aa55d677588aafb0baa57d9809efb67976fb19fcc168","output":"089d52c9c8b445fa55de237e2c20e59f7abec539ba9f3c5f3f44a051b7f00eb3","steps":"eaa9144fa6fb457c1cfbc2500dfcf9feafcb86892d9bc35f70c3eb3c1e53800b","summary":"657d6e31598799ec30a8f0e5e0c3c920ed82c5d52925672cd7ae8220ee939bbd","usage":"3808dc336a4f55ec9e3dc856572819df321654cc4736723aebd1bfeba885dc66"},"facts":{"completedAt":"2026-11-23T12:01:02.000000Z","costMicros":3000,"createdAt":"2026-11-23T12:00:01.000000Z","documentVersion":1,"durationMs":60000,"inputTokens":90,"outputTokens":36,"settledAt":"2026-11-23T12:01:03.000000Z","settledBy":"watcher","startedAt":"2026-11-23T12:00:02.000000Z","stepCount":3,"toolCalls":2},"kind":"run.failed","run":"01a20846-fe00-7d15-82b9-991651931b86","v":1}', 7, '\x94ab48adae7a3ef9a7b2239834649c4084fba90dc7ba94d65e20c665ddd4a32b');
INSERT INTO public.ledger_entries VALUES (9, '01a20846-fe00-76dd-a2c3-c979786abaab', '01a20846-fe00-719a-b166-e02f3ca9fd60', 'run.accepted', 'key:backend', '2026-11-23 12:00:00+00', '{"actor":"key:backend","at":"2026-11-23T12:00:00.000000Z","digests":{"prompt":"be7fd44826a0e1153ef31a43f06938141bbd478675fcfe137c297b2d8de4cbda"},"facts":{"agentId":"agent_1","origin":"submitted","submittedBy":"backend"},"kind":"run.accepted","run":"01a20846-fe00-719a-b166-e02f3ca9fd60","v":1}', 8, '\xdda74fc26f5278400640887518f350155f33d8f27bbd3df6f966a66f6ec774ed');
INSERT INTO public.ledger_entries VALUES (10, '01a20847-01e8-73cd-ad84-bb1755582833', '01a20846-fe00-719a-b166-e02f3ca9fd60', 'run.created', 'worker', '2026-11-23 12:00:01+00', '{"actor":"worker","at":"2026-11-23T12:00:01.000000Z","digests":{},"facts":{"upstreamId":"run_live"},"kind":"run.created","run":"01a20846-fe00-719a-b166-e02f3ca9fd60","v":1}', 9, '\x555a3fffafbcb021ce3178f52ed1291883e8314a6d0550eaee5dce499cf476fa');
INSERT INTO public.ledger_entries VALUES (11, '01a20847-05d0-7ec3-9fc2-2b4ae01b9ff2', '01a20846-fe00-719a-b166-e02f3ca9fd60', 'run.started', 'worker', '2026-11-23 12:00:02+00', '{"actor":"worker","at":"2026-11-23T12:00:02.000000Z","digests":{},"facts":{"via":"exec"},"kind":"run.started","run":"01a20846-fe00-719a-b166-e02f3ca9fd60","v":1}', 10, '\xe2c0f6b926982c8cec33372104d4fb355e8d4d7f616f78cd1294afd2ff2a7919');
INSERT INTO public.ledger_entries VALUES (12, '01a20846-fe00-78a6-9faf-514b411c5c5d', '01a20846-fe00-74c2-866b-7746dc63ebc5', 'run.accepted', 'key:backend', '2026-11-23 12:00:00+00', '{"actor":"key:backend","at":"2026-11-23T12:00:00.000000Z","digests":{"prompt":"1c861378231ec43f9cb2612adc3a3238ef7cd41a9fd536f36676167141ce738f"},"facts":{"agentId":"agent_1","origin":"submitted","submittedBy":"backend"},"kind":"run.accepted","run":"01a20846-fe00-74c2-866b-7746dc63ebc5","v":1}', 11, '\x3e80d30e60af0ac5992e159540340d4a99bfede3766f2096a8dbcbfefc43262d');
INSERT INTO public.ledger_entries VALUES (13, '01a20846-fe00-7a9c-9710-f4abb70c1b75', '01a20846-fe00-719a-b166-e02f3ca9fd60', 'delivery.accepted', 'upstream', '2026-11-23 12:00:00+00', '{"actor":"upstream","at":"2026-11-23T12:00:00.000000Z","digests":{"body":"56bf20a316e6762ed9e2d387a924864b1dd25286593fed735c1285fdffe62e81"},"facts":{"deliveryId":"01a20846-fe00-78c9-9849-00e872152d80","road":"watcher","size":38},"kind":"delivery.accepted","run":"01a20846-fe00-719a-b166-e02f3ca9fd60","v":1}', 12, '\x409d08b12ac497998d9651b8cf7ab661c3b02ba714efaa08f2d549d212023293');
INSERT INTO public.ledger_entries VALUES (14, '01a20846-fe00-76ef-b348-43a285139423', '01a20846-fe00-719a-b166-e02f3ca9fd60', 'delivery.accepted', 'upstream', '2026-11-23 12:00:00+00', '{"actor":"upstream","at":"2026-11-23T12:00:00.000000Z","digests":{"body":"ac36252bfabbeadff738def83cb7e9bc1efa44ebb3e3990e51f40059b50be19a"},"facts":{"deliveryId":"01a20846-fe00-7fe3-b9bf-e236f1f4bedd","eventId":"evt_39f846da909899ce","road":"platform","size":38},"kind":"delivery.accepted","run":"01a20846-fe00-719a-b166-e02f3ca9fd60","v":1}', 13, '\x9efba6ee8c69d03546190a6043d63a0dd24d59185a03316e0ce9a44de574ff12');
INSERT INTO public.ledger_entries VALUES (15, '01a20846-fe00-778b-bdbc-461a831ac343', NULL, 'delivery.accepted', 'upstream', '2026-11-23 12:00:00+00', '{"actor":"upstream","at":"2026-11-23T12:00:00.000000Z","digests":{"body":"e764a5d40908ed6578d8e6739fe3f393d1e43d17b1af39803873917f32ff9520"},"facts":{"deliveryId":"01a20846-fe00-78cc-8118-a03b1bda0fd1","eventId":"evt_c6fa1b657a114660","road":"platform","size":38},"kind":"delivery.accepted","run":null,"v":1}', 14, '\x9bde10d556988488d72d087a3b68bc456de1ae8489aeed8daa72f33a086d1373');


--
-- Data for Name: ledger_salts; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.ledger_salts VALUES ('01a20846-fe00-7e65-ab0e-57a7b3e76b63', 'prompt', '\xaf4bc225cf1f9c09f4e40defb527eac2');
INSERT INTO public.ledger_salts VALUES ('01a20847-f418-703a-b8d3-6be122d50361', 'output', '\x7e9cd193a8c6ae848e07bb2fad2d6e8a');
INSERT INTO public.ledger_salts VALUES ('01a20847-f418-703a-b8d3-6be122d50361', 'summary', '\x4bc3fff6e8565d1c284687e63f72a528');
INSERT INTO public.ledger_salts VALUES ('01a20847-f418-703a-b8d3-6be122d50361', 'document', '\x6f635acc8c4d4cd56c3fab4ec3ef8996');
INSERT INTO public.ledger_salts VALUES ('01a20846-fe00-707d-9da4-6ffb39b5c3c0', 'prompt', '\x56fb3f23f4e41e4432cf17f64d670ffd');
INSERT INTO public.ledger_salts VALUES ('01a20847-f418-7dd5-aa21-c8074f6a2a70', 'output', '\x561d15ede873c643f4dce4603791e583');
INSERT INTO public.ledger_salts VALUES ('01a20847-f418-7dd5-aa21-c8074f6a2a70', 'summary', '\x33c00a943f8fb0aaa89b3ec2f48ea188');
INSERT INTO public.ledger_salts VALUES ('01a20847-f418-7dd5-aa21-c8074f6a2a70', 'document', '\xf5f651c443399977980284b2ba012830');
INSERT INTO public.ledger_salts VALUES ('01a20846-fe00-76dd-a2c3-c979786abaab', 'prompt', '\x63a4b3d4eb7be5f2b2e962a630027c05');
INSERT INTO public.ledger_salts VALUES ('01a20846-fe00-78a6-9faf-514b411c5c5d', 'prompt', '\x1b6da463e856c6109953b1be4da85d3d');
INSERT INTO public.ledger_salts VALUES ('01a20846-fe00-7a9c-9710-f4abb70c1b75', 'body', '\xe7a35b5a4000b5990a9127c328e0ce3f');
INSERT INTO public.ledger_salts VALUES ('01a20846-fe00-76ef-b348-43a285139423', 'body', '\x7967b058bc9b0313a96d2c6e4c9cb3ba');
INSERT INTO public.ledger_salts VALUES ('01a20846-fe00-778b-bdbc-461a831ac343', 'body', '\x17774e64096a8a0646a65aca05b10512');


--
-- Data for Name: notifications; Type: TABLE DATA; Schema: public; Owner: -
--



--
-- Data for Name: passage_words; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.passage_words VALUES (65536, '''39c3cf8060c0d0ca'':5 ''lease'':3 ''prompt'':4 ''review'':1 ''the'':2');
INSERT INTO public.passage_words VALUES (65537, '''is'':3 ''lease'':2 ''the'':1 ''void'':4');
INSERT INTO public.passage_words VALUES (65538, '''void'':1');
INSERT INTO public.passage_words VALUES (65539, '''lease'':3 ''read'':1 ''the'':2');
INSERT INTO public.passage_words VALUES (65540, '''lease'':2 ''q'':1');
INSERT INTO public.passage_words VALUES (65541, '''1'':2 ''e'':1');
INSERT INTO public.passage_words VALUES (65542, '''lease'':3 ''read'':1 ''the'':2');
INSERT INTO public.passage_words VALUES (65543, '''lease'':2 ''q'':1');
INSERT INTO public.passage_words VALUES (65544, '''1'':2 ''e'':1');
INSERT INTO public.passage_words VALUES (65545, '''lease'':3 ''read'':1 ''the'':2');
INSERT INTO public.passage_words VALUES (65546, '''lease'':2 ''q'':1');
INSERT INTO public.passage_words VALUES (65547, '''1'':2 ''e'':1');
INSERT INTO public.passage_words VALUES (131072, '''837f3f07cb0d2ded'':5 ''lease'':3 ''prompt'':4 ''review'':1 ''the'':2');
INSERT INTO public.passage_words VALUES (131073, '''is'':3 ''lease'':2 ''the'':1 ''void'':4');
INSERT INTO public.passage_words VALUES (131074, '''void'':1');
INSERT INTO public.passage_words VALUES (131075, '''lease'':3 ''read'':1 ''the'':2');
INSERT INTO public.passage_words VALUES (131076, '''lease'':2 ''q'':1');
INSERT INTO public.passage_words VALUES (131077, '''1'':2 ''e'':1');
INSERT INTO public.passage_words VALUES (131078, '''lease'':3 ''read'':1 ''the'':2');
INSERT INTO public.passage_words VALUES (131079, '''lease'':2 ''q'':1');
INSERT INTO public.passage_words VALUES (131080, '''1'':2 ''e'':1');
INSERT INTO public.passage_words VALUES (131081, '''lease'':3 ''read'':1 ''the'':2');
INSERT INTO public.passage_words VALUES (131082, '''lease'':2 ''q'':1');
INSERT INTO public.passage_words VALUES (131083, '''1'':2 ''e'':1');
INSERT INTO public.passage_words VALUES (196608, '''36315dd949c9494d'':5 ''lease'':3 ''prompt'':4 ''review'':1 ''the'':2');
INSERT INTO public.passage_words VALUES (262144, '''632fdfed93cf6d7e'':5 ''lease'':3 ''prompt'':4 ''review'':1 ''the'':2');


--
-- Data for Name: passages; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.passages VALUES (65536, 'prompt', NULL, 0, 41);
INSERT INTO public.passages VALUES (65537, 'output', NULL, 0, 18);
INSERT INTO public.passages VALUES (65538, 'summary', NULL, 0, 5);
INSERT INTO public.passages VALUES (65539, 'step', 0, 0, 15);
INSERT INTO public.passages VALUES (65540, 'tool_input', 0, 0, 7);
INSERT INTO public.passages VALUES (65541, 'tool_output', 0, 0, 3);
INSERT INTO public.passages VALUES (65542, 'step', 1, 0, 15);
INSERT INTO public.passages VALUES (65543, 'tool_input', 1, 0, 7);
INSERT INTO public.passages VALUES (65544, 'tool_output', 1, 0, 3);
INSERT INTO public.passages VALUES (65545, 'step', 2, 0, 15);
INSERT INTO public.passages VALUES (65546, 'tool_input', 2, 0, 7);
INSERT INTO public.passages VALUES (65547, 'tool_output', 2, 0, 3);
INSERT INTO public.passages VALUES (131072, 'prompt', NULL, 0, 41);
INSERT INTO public.passages VALUES (131073, 'output', NULL, 0, 18);
INSERT INTO public.passages VALUES (131074, 'summary', NULL, 0, 5);
INSERT INTO public.passages VALUES (131075, 'step', 0, 0, 15);
INSERT INTO public.passages VALUES (131076, 'tool_input', 0, 0, 7);
INSERT INTO public.passages VALUES (131077, 'tool_output', 0, 0, 3);
INSERT INTO public.passages VALUES (131078, 'step', 1, 0, 15);
INSERT INTO public.passages VALUES (131079, 'tool_input', 1, 0, 7);
INSERT INTO public.passages VALUES (131080, 'tool_output', 1, 0, 3);
INSERT INTO public.passages VALUES (131081, 'step', 2, 0, 15);
INSERT INTO public.passages VALUES (131082, 'tool_input', 2, 0, 7);
INSERT INTO public.passages VALUES (131083, 'tool_output', 2, 0, 3);
INSERT INTO public.passages VALUES (196608, 'prompt', NULL, 0, 41);
INSERT INTO public.passages VALUES (262144, 'prompt', NULL, 0, 41);


--
-- Data for Name: rejections; Type: TABLE DATA; Schema: public; Owner: -
--



--
-- Data for Name: rollup_agents; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.rollup_agents VALUES ('2026-11-23', 'agent_1', 'completed', true, 1, 3000, 90, 36, 1, 60000, 60000);
INSERT INTO public.rollup_agents VALUES ('2026-11-23', 'agent_1', 'failed', true, 1, 3000, 90, 36, 1, 60000, 60000);


--
-- Data for Name: rollup_durations; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.rollup_durations VALUES ('agent', 'agent_1', '2026-11', 'completed', true, 205, 1);
INSERT INTO public.rollup_durations VALUES ('day', '2026-11-23', '2026-11', 'completed', true, 205, 1);
INSERT INTO public.rollup_durations VALUES ('model', '', '2026-11', 'completed', true, 205, 1);
INSERT INTO public.rollup_durations VALUES ('agent', 'agent_1', '2026-11', 'failed', true, 205, 1);
INSERT INTO public.rollup_durations VALUES ('day', '2026-11-23', '2026-11', 'failed', true, 205, 1);
INSERT INTO public.rollup_durations VALUES ('model', '', '2026-11', 'failed', true, 205, 1);


--
-- Data for Name: rollup_models; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.rollup_models VALUES ('2026-11-23', '', 'completed', true, 1, 3000, 90, 36, 1, 60000, 60000);
INSERT INTO public.rollup_models VALUES ('2026-11-23', '', 'failed', true, 1, 3000, 90, 36, 1, 60000, 60000);


--
-- Data for Name: run_documents; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.run_documents VALUES (1, '01a20846-fe00-7980-b50a-d3c325156cc9', 1, '2026-11-23 12:00:00+00', '\x28b52ffd2016b100007b22737461747573223a22636f6d706c65746564227d', 'd0765f73cd5d1df39be353d538ea7c47a017d66a8bd001dc4707240dbb71e58c', 22, NULL);
INSERT INTO public.run_documents VALUES (2, '01a20846-fe00-7d15-82b9-991651931b86', 1, '2026-11-23 12:00:00+00', '\x28b52ffd20139900007b22737461747573223a226661696c6564227d', '759315d5ae8c31136d2a7bc803e591554894987559325cdf7e0b5965bec0eaca', 19, NULL);


--
-- Data for Name: run_events; Type: TABLE DATA; Schema: public; Owner: -
--



--
-- Data for Name: run_steps; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.run_steps VALUES (65536, '01a20846-fe00-7980-b50a-d3c325156cc9', 0, 'step_0', 'tool_call', 'Read the lease.', 'search', '{"q": "lease"}', '["é", 1]', 20, '2026-11-23 12:00:00+00', '\x517bca690dd0e85840a2fbe91cf71731');
INSERT INTO public.run_steps VALUES (65537, '01a20846-fe00-7980-b50a-d3c325156cc9', 1, 'step_1', 'tool_call', 'Read the lease.', 'search', '{"q": "lease"}', '["é", 1]', 20, '2026-11-23 12:00:01+00', '\x695a428e4ced3e27689823f7a0511055');
INSERT INTO public.run_steps VALUES (65538, '01a20846-fe00-7980-b50a-d3c325156cc9', 2, 'step_2', 'tool_call', 'Read the lease.', 'search', '{"q": "lease"}', '["é", 1]', 20, '2026-11-23 12:00:02+00', '\xc7c77c3728f817576c25204635b24cbc');
INSERT INTO public.run_steps VALUES (131072, '01a20846-fe00-7d15-82b9-991651931b86', 0, 'step_0', 'tool_call', 'Read the lease.', 'search', '{"q": "lease"}', '["é", 1]', 20, '2026-11-23 12:00:00+00', '\xf32bee2d728ea65d136a50bb50ee7e19');
INSERT INTO public.run_steps VALUES (131073, '01a20846-fe00-7d15-82b9-991651931b86', 1, 'step_1', 'tool_call', 'Read the lease.', 'search', '{"q": "lease"}', '["é", 1]', 20, '2026-11-23 12:00:01+00', '\xbf5469f110c40462cca8074c15f88f3f');
INSERT INTO public.run_steps VALUES (131074, '01a20846-fe00-7d15-82b9-991651931b86', 2, 'step_2', 'tool_call', 'Read the lease.', 'search', '{"q": "lease"}', '["é", 1]', 20, '2026-11-23 12:00:02+00', '\xcfb48a5f36c621e729c789addb5e4ba4');


--
-- Data for Name: run_tags; Type: TABLE DATA; Schema: public; Owner: -
--



--
-- Data for Name: run_tools; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.run_tools VALUES ('search', 1, '01a20846-fe00-7980-b50a-d3c325156cc9');
INSERT INTO public.run_tools VALUES ('search', 2, '01a20846-fe00-7d15-82b9-991651931b86');


--
-- Data for Name: run_usage; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.run_usage VALUES (65536, '01a20846-fe00-7980-b50a-d3c325156cc9', 0, 'use_0', 'llm', 'openai', '/chat', 'POST', 200, 1000, 30, 12, 42, 'm-1', '2026-11-23 12:00:00+00', '{"cached": false}', '\x3465ad4a49b172880cf0ddbd572c44a7');
INSERT INTO public.run_usage VALUES (65537, '01a20846-fe00-7980-b50a-d3c325156cc9', 1, 'use_1', 'llm', 'openai', '/chat', 'POST', 200, 1000, 30, 12, 42, 'm-1', '2026-11-23 12:00:01+00', '{"cached": false}', '\x1bacd0aa3ac022eb3ea13fc9b459cbad');
INSERT INTO public.run_usage VALUES (131072, '01a20846-fe00-7d15-82b9-991651931b86', 0, 'use_0', 'llm', 'openai', '/chat', 'POST', 200, 1000, 30, 12, 42, 'm-1', '2026-11-23 12:00:00+00', '{"cached": false}', '\x43d473157a10722bfebf32710687d65a');
INSERT INTO public.run_usage VALUES (131073, '01a20846-fe00-7d15-82b9-991651931b86', 1, 'use_1', 'llm', 'openai', '/chat', 'POST', 200, 1000, 30, 12, 42, 'm-1', '2026-11-23 12:00:01+00', '{"cached": false}', '\x8a40449a4c70c6da6db5ad7b07d5b4ba');


--
-- Data for Name: runs; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.runs VALUES (1, '01a20846-fe00-7980-b50a-d3c325156cc9', 'run_settled', 'submitted', 'completed', 'agent_1', 'Review the lease. prompt_39c3cf8060c0d0ca', NULL, NULL, NULL, NULL, 'backend', NULL, NULL, '2026-11-23 12:00:00+00', '2026-11-23 12:00:01+00', '2026-11-23 12:00:02+00', '2026-11-23 12:01:02+00', '2026-11-23 12:01:03+00', 'watcher', NULL, NULL, '2026-11-23 13:00:00+00', '2026-11-23 12:01:03+00', NULL, NULL, true, 60000, 90, 36, 2, 3000, 'The lease is void.', 'Void.', NULL, NULL, 3, NULL, NULL, NULL, NULL);
INSERT INTO public.runs VALUES (2, '01a20846-fe00-7d15-82b9-991651931b86', 'run_failed', 'submitted', 'failed', 'agent_1', 'Review the lease. prompt_837f3f07cb0d2ded', NULL, NULL, NULL, NULL, 'backend', NULL, NULL, '2026-11-23 12:00:00+00', '2026-11-23 12:00:01+00', '2026-11-23 12:00:02+00', '2026-11-23 12:01:02+00', '2026-11-23 12:01:03+00', 'watcher', NULL, NULL, '2026-11-23 13:00:00+00', '2026-11-23 12:01:03+00', NULL, NULL, true, 60000, 90, 36, 2, 3000, 'The lease is void.', 'Void.', NULL, NULL, 3, NULL, NULL, NULL, NULL);
INSERT INTO public.runs VALUES (3, '01a20846-fe00-719a-b166-e02f3ca9fd60', 'run_live', 'submitted', 'running', 'agent_1', 'Review the lease. prompt_36315dd949c9494d', NULL, NULL, NULL, NULL, 'backend', NULL, NULL, '2026-11-23 12:00:00+00', '2026-11-23 12:00:01+00', '2026-11-23 12:00:02+00', NULL, NULL, NULL, NULL, NULL, '2026-11-23 13:00:00+00', NULL, NULL, NULL, true, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, NULL, NULL, NULL, NULL);
INSERT INTO public.runs VALUES (4, '01a20846-fe00-74c2-866b-7746dc63ebc5', NULL, 'submitted', 'accepted', 'agent_1', 'Review the lease. prompt_632fdfed93cf6d7e', NULL, NULL, NULL, NULL, 'backend', NULL, NULL, '2026-11-23 12:00:00+00', NULL, NULL, NULL, NULL, NULL, NULL, NULL, '2026-11-23 13:00:00+00', NULL, NULL, NULL, false, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, NULL, NULL, NULL, NULL);


--
-- Data for Name: search_queue; Type: TABLE DATA; Schema: public; Owner: -
--



--
-- Data for Name: unknown_runs; Type: TABLE DATA; Schema: public; Owner: -
--



--
-- Data for Name: upstream_links; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.upstream_links VALUES ('run_settled', '01a20846-fe00-7980-b50a-d3c325156cc9', 'run', '2026-11-23 12:00:01+00', NULL);
INSERT INTO public.upstream_links VALUES ('run_failed', '01a20846-fe00-7d15-82b9-991651931b86', 'run', '2026-11-23 12:00:01+00', NULL);
INSERT INTO public.upstream_links VALUES ('run_live', '01a20846-fe00-719a-b166-e02f3ca9fd60', 'run', '2026-11-23 12:00:01+00', NULL);


--
-- Data for Name: webhook_endpoints; Type: TABLE DATA; Schema: public; Owner: -
--



--
-- Data for Name: webhook_secrets; Type: TABLE DATA; Schema: public; Owner: -
--



--
-- Name: deliveries_seq_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.deliveries_seq_seq', 3, true);


--
-- Name: house_id_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.house_id_seq', 1, false);


--
-- Name: jobs_seq_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.jobs_seq_seq', 10, true);


--
-- Name: ledger_entries_seq_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.ledger_entries_seq_seq', 15, true);


--
-- Name: passages_id_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.passages_id_seq', 1, false);


--
-- Name: run_documents_seq_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.run_documents_seq_seq', 2, true);


--
-- Name: run_events_seq_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.run_events_seq_seq', 1, false);


--
-- Name: run_steps_id_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.run_steps_id_seq', 1, false);


--
-- Name: run_usage_id_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.run_usage_id_seq', 1, false);


--
-- Name: runs_seq_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.runs_seq_seq', 4, true);


--
-- Name: search_queue_run_seq_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.search_queue_run_seq_seq', 1, false);


--
-- Name: alembic_version alembic_version_pkc; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.alembic_version
    ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num);


--
-- Name: api_keys pk_api_keys; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.api_keys
    ADD CONSTRAINT pk_api_keys PRIMARY KEY (id);


--
-- Name: backfills pk_backfills; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.backfills
    ADD CONSTRAINT pk_backfills PRIMARY KEY (id);


--
-- Name: deliveries pk_deliveries; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.deliveries
    ADD CONSTRAINT pk_deliveries PRIMARY KEY (seq);


--
-- Name: house pk_house; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.house
    ADD CONSTRAINT pk_house PRIMARY KEY (id);


--
-- Name: jobs pk_jobs; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.jobs
    ADD CONSTRAINT pk_jobs PRIMARY KEY (seq);


--
-- Name: ledger_entries pk_ledger_entries; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.ledger_entries
    ADD CONSTRAINT pk_ledger_entries PRIMARY KEY (seq);


--
-- Name: ledger_salts pk_ledger_salts; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.ledger_salts
    ADD CONSTRAINT pk_ledger_salts PRIMARY KEY (entry_id, name);


--
-- Name: notifications pk_notifications; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.notifications
    ADD CONSTRAINT pk_notifications PRIMARY KEY (run_id);


--
-- Name: passage_words pk_passage_words; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.passage_words
    ADD CONSTRAINT pk_passage_words PRIMARY KEY (id);


--
-- Name: passages pk_passages; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.passages
    ADD CONSTRAINT pk_passages PRIMARY KEY (id);


--
-- Name: rejections pk_rejections; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.rejections
    ADD CONSTRAINT pk_rejections PRIMARY KEY (hour, cause);


--
-- Name: rollup_agents pk_rollup_agents; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.rollup_agents
    ADD CONSTRAINT pk_rollup_agents PRIMARY KEY (day, agent_id, status, created);


--
-- Name: rollup_durations pk_rollup_durations; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.rollup_durations
    ADD CONSTRAINT pk_rollup_durations PRIMARY KEY (dimension, key, month, status, created, bucket);


--
-- Name: rollup_models pk_rollup_models; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.rollup_models
    ADD CONSTRAINT pk_rollup_models PRIMARY KEY (day, model, status, created);


--
-- Name: run_documents pk_run_documents; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.run_documents
    ADD CONSTRAINT pk_run_documents PRIMARY KEY (seq);


--
-- Name: run_events pk_run_events; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.run_events
    ADD CONSTRAINT pk_run_events PRIMARY KEY (seq);


--
-- Name: run_steps pk_run_steps; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.run_steps
    ADD CONSTRAINT pk_run_steps PRIMARY KEY (id);


--
-- Name: run_tags pk_run_tags; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.run_tags
    ADD CONSTRAINT pk_run_tags PRIMARY KEY (run_seq, key);


--
-- Name: run_tools pk_run_tools; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.run_tools
    ADD CONSTRAINT pk_run_tools PRIMARY KEY (name, run_seq);


--
-- Name: run_usage pk_run_usage; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.run_usage
    ADD CONSTRAINT pk_run_usage PRIMARY KEY (id);


--
-- Name: runs pk_runs; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.runs
    ADD CONSTRAINT pk_runs PRIMARY KEY (seq);


--
-- Name: search_queue pk_search_queue; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.search_queue
    ADD CONSTRAINT pk_search_queue PRIMARY KEY (run_seq);


--
-- Name: unknown_runs pk_unknown_runs; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.unknown_runs
    ADD CONSTRAINT pk_unknown_runs PRIMARY KEY (upstream_id);


--
-- Name: upstream_links pk_upstream_links; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.upstream_links
    ADD CONSTRAINT pk_upstream_links PRIMARY KEY (upstream_id);


--
-- Name: webhook_endpoints pk_webhook_endpoints; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.webhook_endpoints
    ADD CONSTRAINT pk_webhook_endpoints PRIMARY KEY (id);


--
-- Name: webhook_secrets pk_webhook_secrets; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.webhook_secrets
    ADD CONSTRAINT pk_webhook_secrets PRIMARY KEY (id);


--
-- Name: deliveries uq_deliveries_dedupe_key; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.deliveries
    ADD CONSTRAINT uq_deliveries_dedupe_key UNIQUE (dedupe_key);


--
-- Name: deliveries uq_deliveries_id; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.deliveries
    ADD CONSTRAINT uq_deliveries_id UNIQUE (id);


--
-- Name: jobs uq_jobs_id; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.jobs
    ADD CONSTRAINT uq_jobs_id UNIQUE (id);


--
-- Name: jobs uq_jobs_kind_run_id; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.jobs
    ADD CONSTRAINT uq_jobs_kind_run_id UNIQUE (kind, run_id);


--
-- Name: ledger_entries uq_ledger_entries_id; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.ledger_entries
    ADD CONSTRAINT uq_ledger_entries_id UNIQUE (id);


--
-- Name: ledger_entries uq_ledger_entries_leaf_index; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.ledger_entries
    ADD CONSTRAINT uq_ledger_entries_leaf_index UNIQUE (leaf_index);


--
-- Name: notifications uq_notifications_event_id; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.notifications
    ADD CONSTRAINT uq_notifications_event_id UNIQUE (event_id);


--
-- Name: run_documents uq_run_documents_run_id_version; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.run_documents
    ADD CONSTRAINT uq_run_documents_run_id_version UNIQUE (run_id, version);


--
-- Name: run_events uq_run_events_run_id_event_id; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.run_events
    ADD CONSTRAINT uq_run_events_run_id_event_id UNIQUE (run_id, event_id);


--
-- Name: runs uq_runs_id; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.runs
    ADD CONSTRAINT uq_runs_id UNIQUE (id);


--
-- Name: runs uq_runs_submitted_by_idempotency_key; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.runs
    ADD CONSTRAINT uq_runs_submitted_by_idempotency_key UNIQUE (submitted_by, idempotency_key);


--
-- Name: runs uq_runs_upstream_id; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.runs
    ADD CONSTRAINT uq_runs_upstream_id UNIQUE (upstream_id);


--
-- Name: webhook_endpoints uq_webhook_endpoints_upstream_id; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.webhook_endpoints
    ADD CONSTRAINT uq_webhook_endpoints_upstream_id UNIQUE (upstream_id);


--
-- Name: ix_deliveries_duplicate_of; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX ix_deliveries_duplicate_of ON public.deliveries USING btree (duplicate_of);


--
-- Name: ix_deliveries_loose; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX ix_deliveries_loose ON public.deliveries USING btree (run_id, received_at) WHERE ((run_id IS NULL) AND (body_sha256 <> ''::text));


--
-- Name: ix_deliveries_run_id; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX ix_deliveries_run_id ON public.deliveries USING btree (run_id);


--
-- Name: ix_deliveries_unlinked; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX ix_deliveries_unlinked ON public.deliveries USING btree (upstream_id) WHERE ((run_id IS NULL) AND (upstream_id IS NOT NULL));


--
-- Name: ix_jobs_dead_at; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX ix_jobs_dead_at ON public.jobs USING btree (dead_at) WHERE (dead_at IS NOT NULL);


--
-- Name: ix_jobs_due_at; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX ix_jobs_due_at ON public.jobs USING btree (due_at);


--
-- Name: ix_jobs_priority_due_at; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX ix_jobs_priority_due_at ON public.jobs USING btree (priority, due_at) WHERE (dead_at IS NULL);


--
-- Name: ix_ledger_entries_run_id; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX ix_ledger_entries_run_id ON public.ledger_entries USING btree (run_id);


--
-- Name: ix_passage_words_words; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX ix_passage_words_words ON public.passage_words USING gin (words);


--
-- Name: ix_run_steps_run_id; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX ix_run_steps_run_id ON public.run_steps USING btree (run_id);


--
-- Name: ix_run_tags_key_value_run_seq; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX ix_run_tags_key_value_run_seq ON public.run_tags USING btree (key, value, run_seq);


--
-- Name: ix_run_usage_run_id; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX ix_run_usage_run_id ON public.run_usage USING btree (run_id);


--
-- Name: ix_runs_accepted_at_seq; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX ix_runs_accepted_at_seq ON public.runs USING btree (accepted_at DESC NULLS LAST, seq DESC);


--
-- Name: ix_runs_agent_id_created_seq; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX ix_runs_agent_id_created_seq ON public.runs USING btree (agent_id, COALESCE(created_at, accepted_at) DESC NULLS LAST, seq DESC);


--
-- Name: ix_runs_agent_id_status_seq; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX ix_runs_agent_id_status_seq ON public.runs USING btree (agent_id, status, seq DESC);


--
-- Name: ix_runs_cost_micros_seq; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX ix_runs_cost_micros_seq ON public.runs USING btree (cost_micros DESC NULLS LAST, seq DESC);


--
-- Name: ix_runs_created_seq; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX ix_runs_created_seq ON public.runs USING btree (COALESCE(created_at, accepted_at) DESC NULLS LAST, seq DESC);


--
-- Name: ix_runs_duration_ms_seq; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX ix_runs_duration_ms_seq ON public.runs USING btree (duration_ms DESC NULLS LAST, seq DESC);


--
-- Name: ix_runs_model_seq; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX ix_runs_model_seq ON public.runs USING btree (model, seq DESC);


--
-- Name: ix_runs_settled_at_seq; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX ix_runs_settled_at_seq ON public.runs USING btree (settled_at DESC NULLS LAST, seq DESC);


--
-- Name: ix_runs_status_seq; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX ix_runs_status_seq ON public.runs USING btree (status, seq DESC);


--
-- Name: ix_runs_stray; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX ix_runs_stray ON public.runs USING btree (stray_since) WHERE (stray_since IS NOT NULL);


--
-- Name: ix_runs_tokens_seq; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX ix_runs_tokens_seq ON public.runs USING btree (((input_tokens + output_tokens)) DESC NULLS LAST, seq DESC);


--
-- Name: ix_unknown_runs_ask_at; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX ix_unknown_runs_ask_at ON public.unknown_runs USING btree (ask_at);


--
-- Name: ix_upstream_links_run_id; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX ix_upstream_links_run_id ON public.upstream_links USING btree (run_id);


--
-- Name: ix_webhook_secrets_endpoint_id; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX ix_webhook_secrets_endpoint_id ON public.webhook_secrets USING btree (endpoint_id);


--
-- Name: passage_words fk_passage_words; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.passage_words
    ADD CONSTRAINT fk_passage_words FOREIGN KEY (id) REFERENCES public.passages(id) ON DELETE CASCADE;


--
-- PostgreSQL database dump complete
--


