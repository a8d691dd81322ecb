"""Merge segments of the full-text index on request alone: `storage.search.fulltext` does it with each change."""

from alembic import op

from storage.migrations.declarations import is_server

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    """Switch off what FTS5 merges unasked."""
    if not is_server():
        op.execute("INSERT INTO passage_words (passage_words, rank) VALUES ('automerge', 0)")
