"""Remove implausible durations and instants from runs that were stored before these values were bounded."""

import sqlalchemy as sa
from alembic import op

from storage.migrations.versions import m0005_rollups

revision = "0011"
down_revision = "0010"

#: As `storage.bounds` had it then: 30 days in milliseconds, the year 2000, a year ahead.
DURATION_MS = 30 * 24 * 3600 * 1000
EARLIEST = "2000-01-01T00:00:00.000000Z"
LATEST = {
    "sqlite": "strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '+365 days')",
    "postgresql": "now() + interval '365 days'",
}
INSTANTS = ("created_at", "started_at", "completed_at")
ROLLUPS = ("rollup_models", "rollup_agents", "rollup_durations")


def upgrade() -> None:
    """Remove them from runs only; steps and usage entries stay, because digests in the ledger cover them."""
    latest = LATEST[op.get_context().dialect.name]
    absurd = {name: f"({name} < '{EARLIEST}' OR {name} > {latest})" for name in INSTANTS}
    absurd["duration_ms"] = f"(duration_ms < 0 OR duration_ms > {DURATION_MS})"
    sets = ", ".join(f"{name} = CASE WHEN {which} THEN NULL ELSE {name} END" for name, which in absurd.items())
    changed = op.get_bind().execute(sa.text(f"UPDATE runs SET {sets} WHERE {' OR '.join(absurd.values())}"))
    if changed.rowcount:
        _count_anew()


def _count_anew() -> None:
    """Recompute the rollups, under a lock that lets no run end in the meantime."""
    if op.get_context().dialect.name == "postgresql":
        op.execute(f"LOCK TABLE {', '.join(ROLLUPS)} IN SHARE ROW EXCLUSIVE MODE")
    for table in ROLLUPS:
        op.execute(f"DELETE FROM {table}")
    m0005_rollups.fill()
