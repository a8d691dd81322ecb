"""Sums over the runs that have ended, kept by whoever ends one."""

import sqlalchemy as sa
from alembic import op

from storage.engine import column_types

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

STATES = "'accepted', 'queued', 'running', 'completed', 'failed', 'cancelled', 'refused', 'lost'"
ENDED = "'completed', 'failed', 'cancelled', 'refused'"
SUMS = ("runs", "cost_micros", "input_tokens", "output_tokens", "timed", "duration_ms", "max_duration_ms")
MOST = 2**63 - 1
LONGEST = "CASE WHEN duration_ms < 0 THEN 0 ELSE duration_ms END"


def upgrade() -> None:
    _make("rollup_models", [("day", sa.Text()), ("model", sa.Text()), *_state()], SUMS)
    _make("rollup_agents", [("day", sa.Text()), ("agent_id", sa.Text()), *_state()], SUMS)
    keys = [(name, sa.Text()) for name in ("dimension", "key", "month")]
    _make("rollup_durations", [*keys, *_state(), ("bucket", column_types.Integer64)], ("runs",))
    fill()


def fill() -> None:
    """Count all runs that have ended into tables that are empty."""
    for table, name in (("rollup_models", "model"), ("rollup_agents", "agent_id")):
        op.execute(
            f"INSERT INTO {table} (day, {name}, status, created, {', '.join(SUMS)}) "
            f"SELECT day, {name}, status, created, count(*), {_sum('cost_micros')}, "
            f"{_sum('input_tokens')}, {_sum('output_tokens')}, count(duration_ms), "
            f"{_sum('duration_ms')}, coalesce(max({LONGEST}), 0) "
            f"FROM ({_ended()}) AS ended GROUP BY day, {name}, status, created"
        )
    for dimension, name in (("agent", "agent_id"), ("model", "model"), ("day", "day")):
        op.execute(
            "INSERT INTO rollup_durations (dimension, key, month, status, created, bucket, runs) "
            f"SELECT '{dimension}', {name}, substr(day, 1, 7), status, created, {_bucket()}, count(*) "
            f"FROM ({_ended()}) AS ended WHERE duration_ms IS NOT NULL "
            f"GROUP BY {name}, substr(day, 1, 7), status, created, {_bucket()}"
        )


def _make(table: str, keys: list, sums: tuple) -> None:
    op.create_table(
        table,
        *(sa.Column(name, kind, nullable=False) for name, kind in keys),
        *(sa.Column(name, column_types.Integer64, nullable=False) for name in sums),
        sa.CheckConstraint(f"status IN ({STATES})", name=op.f(f"ck_{table}_status")),
        sa.PrimaryKeyConstraint(*(name for name, _ in keys), name=op.f(f"pk_{table}")),
    )


def _state() -> list:
    return [("status", sa.Text()), ("created", sa.Boolean())]


def _ended() -> str:
    at = "coalesce(created_at, accepted_at)"
    is_served = op.get_context().dialect.name == "postgresql"
    day = f"to_char(timezone('UTC', {at}), 'YYYY-MM-DD')" if is_served else f"substr({at}, 1, 10)"
    return (
        f"SELECT {day} AS day, coalesce(model, '') AS model, coalesce(agent_id, '') AS agent_id, status, "
        "created_at IS NOT NULL AS created, cost_micros, input_tokens, output_tokens, duration_ms "
        f"FROM runs WHERE status IN ({ENDED})"
    )


def _sum(name: str) -> str:
    """As `storage.dialect.total` has it: what 64 bits do not hold is the largest number that they do."""
    if op.get_context().dialect.name == "postgresql":
        return f"least(coalesce(sum({name}), 0), {MOST})"
    low, high = f"sum({name} & 4294967295)", f"sum({name} >> 32)"
    high = f"({high} + ({low} >> 32))"
    return f"coalesce(CASE WHEN {high} > 2147483647 THEN {MOST} ELSE ({high} << 32) | ({low} & 4294967295) END, 0)"


def _bucket() -> str:
    """As `storage.stats.histogram` had it then."""
    told = "".join(
        f" WHEN duration_ms < {32 << shift} THEN {16 * shift} + duration_ms / {1 << shift}" for shift in range(38)
    )
    return f"CASE WHEN duration_ms < 0 THEN 0{told} ELSE {16 * 37 + 31} END"
