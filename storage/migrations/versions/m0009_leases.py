"""Add the follow-ups of an end, which hold for the deployment, and the lease on the webhook endpoint."""

from storage.migrations.declarations import INSTANT, INTEGER, add, columns

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    add("house", columns(INSTANT, "notifies_set_at", "captures_set_at", "notifier_seen_at", "webhooks_until", null=True))
    add("house", columns(INTEGER, "webhooks_fence", default="0"))
    for name in ("webhook_endpoints", "webhook_secrets"):
        add(name, columns(INTEGER, "fence", default="0"))
