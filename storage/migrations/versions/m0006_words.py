"""Clear the full-text index and enqueue every run again, because the tokenizer makes other words now."""

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

from storage.engine import column_types

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    if op.get_context().dialect.name == "postgresql":
        op.execute("TRUNCATE passage_words, passages")
    else:
        op.execute("INSERT INTO passage_words (passage_words) VALUES ('delete-all')")
        op.execute("DELETE FROM passages")
    waits = sa.text(
        "INSERT INTO search_queue (run_seq, version, wished_at) SELECT seq, 1, :now FROM runs "
        "WHERE pruned_at IS NULL ON CONFLICT DO NOTHING"
    )
    op.execute(waits.bindparams(sa.bindparam("now", datetime.now(UTC), column_types.Instant())))
