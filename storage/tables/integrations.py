"""The columns of the tables of `storage/models/integrations.py`, made from it by `make docs`."""

from storage.tables.declare import table

NOTIFICATIONS = table(
    "notifications",
    """text: run_id* event_id bytes: body instant: created_at integer: attempts=0 instant: last_attempt_at?
    integer: last_status? text: last_error? instant: delivered_at? stopped_at?""",
)

WEBHOOK_ENDPOINTS = table(
    "webhook_endpoints",
    """text: id* upstream_id? url instant: requested_at awaiting_since? registered_at? removed_at? text:
    status? integer: failures? instant: checked_at? text: check_error? integer: fence=0""",
)

WEBHOOK_SECRETS = table(
    "webhook_secrets",
    """text: id* endpoint_id bytes: sealed instant: created_at expires_at? integer: fence=0""",
)

API_KEYS = table(
    "api_keys",
    """text: id* name json: scopes text: secret_sha256 instant: created_at revoked_at? last_used_at?""",
)
