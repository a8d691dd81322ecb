"""Add the links that sign a browser in, and the views that people save."""

import sqlalchemy as sa

from storage.migrations.declarations import FLAG, INSTANT, JSON, TEXT, columns, table

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    table(
        "sign_in_links",
        columns(TEXT, "token_sha256", "key_id"),
        columns(INSTANT, "created_at", "expires_at"),
        columns(INSTANT, "used_at", null=True),
        key=("token_sha256",),
    )
    table(
        "saved_views",
        columns(TEXT, "id", "owner", "name"),
        columns(FLAG, "is_shared", default=sa.text("false")),
        columns(TEXT, "question"),
        columns(JSON, "columns", null=True),
        columns(INSTANT, "created_at", "updated_at"),
        unique=(("owner", "name"),),
    )
