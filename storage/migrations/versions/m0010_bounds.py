"""Cut the indexed names of tools to a length that fits into an index of PostgreSQL."""

from alembic import op

revision = "0010"
down_revision = "0009"

#: As `storage.bounds` had it then, in characters.
NAME = 200


def upgrade() -> None:
    """Cut the names in the table of tools; the steps keep the full names."""
    op.execute(
        f"INSERT INTO run_tools (name, run_seq, run_id) SELECT DISTINCT substr(name, 1, {NAME}), run_seq, run_id "
        f"FROM run_tools WHERE length(name) > {NAME} ON CONFLICT DO NOTHING"
    )
    op.execute(f"DELETE FROM run_tools WHERE length(name) > {NAME}")
