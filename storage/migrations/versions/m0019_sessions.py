"""Add when the sessions of an API key were ended everywhere."""

from storage.migrations.declarations import INSTANT, add, columns

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    add("api_keys", columns(INSTANT, "sessions_ended_at", null=True))
