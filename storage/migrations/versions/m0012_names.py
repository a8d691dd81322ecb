"""Rename tables, columns, constraints and indexes to the names that the documents use."""

from alembic import op

revision = "0012"
down_revision = "0011"

COLUMNS = (
    ("deliveries", "road", "source"),
    ("jobs", "road", "trigger"),
    ("jobs", "late_road", "pending_trigger"),
    ("jobs", "wanted", "requested"),
    ("runs", "stray_since", "lost_create_since"),
    ("search_queue", "wished_at", "enqueued_at"),
    ("house", "sweep_met", "sweep_all_handled"),
)
#: Of PostgreSQL alone: SQLite keeps the names of constraints in the text of a table, where nothing refers to them.
CONSTRAINTS = (
    ("deliveries", "ck_deliveries_road", "ck_deliveries_source"),
    ("jobs", "ck_jobs_road", "ck_jobs_trigger"),
    ("system_state", "ck_house_one_row", "ck_system_state_one_row"),
    ("system_state", "pk_house", "pk_system_state"),
)
#: Partial indexes: name, table, columns, condition.
INDEXES = (
    ("ix_runs_stray", "ix_runs_lost_create", "runs (lost_create_since)", "lost_create_since IS NOT NULL"),
    (
        "ix_deliveries_loose",
        "ix_deliveries_unmatched",
        "deliveries (run_id, received_at)",
        "run_id IS NULL AND body_sha256 <> ''",
    ),
)


def upgrade() -> None:
    """Rename them without rewriting a row."""
    for table, old, new in COLUMNS:
        op.execute(f"ALTER TABLE {table} RENAME COLUMN {old} TO {new}")
    op.rename_table("house", "system_state")
    is_server = op.get_context().dialect.name == "postgresql"
    for table, old, new in CONSTRAINTS if is_server else ():
        op.execute(f"ALTER TABLE {table} RENAME CONSTRAINT {old} TO {new}")
    for old, new, columns, condition in INDEXES:
        if is_server:
            op.execute(f"ALTER INDEX {old} RENAME TO {new}")
        else:
            op.execute(f"DROP INDEX {old}")
            op.execute(f"CREATE INDEX {new} ON {columns} WHERE {condition}")
