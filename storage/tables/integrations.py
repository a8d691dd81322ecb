"""The columns of the tables of `storage/models/integrations.py`, made from it by `make docs`."""

from sqlalchemy import Column, Table, Text

from storage.engine.column_types import Bytes, Instant, Integer64, Json
from storage.tables.declare import metadata

NOTIFICATIONS = Table(
    "notifications",
    metadata,
    Column("run_id", Text, primary_key=True),
    Column("event_id", Text, nullable=False),
    Column("body", Bytes, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("attempts", Integer64, nullable=False, default=0, server_default="0"),
    Column("last_attempt_at", Instant),
    Column("last_status", Integer64),
    Column("last_error", Text),
    Column("delivered_at", Instant),
    Column("stopped_at", Instant),
)

WEBHOOK_ENDPOINTS = Table(
    "webhook_endpoints",
    metadata,
    Column("id", Text, primary_key=True),
    Column("upstream_id", Text),
    Column("url", Text, nullable=False),
    Column("requested_at", Instant, nullable=False),
    Column("awaiting_since", Instant),
    Column("registered_at", Instant),
    Column("removed_at", Instant),
    Column("status", Text),
    Column("failures", Integer64),
    Column("checked_at", Instant),
    Column("check_error", Text),
    Column("fence", Integer64, nullable=False, default=0, server_default="0"),
)

WEBHOOK_SECRETS = Table(
    "webhook_secrets",
    metadata,
    Column("id", Text, primary_key=True),
    Column("endpoint_id", Text, nullable=False),
    Column("sealed", Bytes, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant),
    Column("fence", Integer64, nullable=False, default=0, server_default="0"),
)

API_KEYS = Table(
    "api_keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("scopes", Json, nullable=False),
    Column("secret_sha256", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("revoked_at", Instant),
    Column("last_used_at", Instant),
    Column("sessions_ended_at", Instant),
)

SIGN_IN_LINKS = Table(
    "sign_in_links",
    metadata,
    Column("token_sha256", Text, primary_key=True),
    Column("key_id", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("used_at", Instant),
)
