"""Add the rollups: sums over ended runs, updated in the transaction that ends a run."""

from alembic import op

from storage.migrations.declarations import FLAG, INTEGER, TEXT, columns, is_server, table

revision = "0005"
down_revision = "0004"

STATES = "'accepted', 'queued', 'running', 'completed', 'failed', 'cancelled', 'refused', 'lost'"
ENDED = "'completed', 'failed', 'cancelled', 'refused'"
SUMS = ("runs", "cost_micros", "input_tokens", "output_tokens", "timed", "duration_ms", "max_duration_ms")
MOST = 2**63 - 1
LONGEST = "CASE WHEN duration_ms < 0 THEN 0 ELSE duration_ms END"


def upgrade() -> None:
    _make("rollup_models", ("day", "model"), SUMS)
    _make("rollup_agents", ("day", "agent_id"), SUMS)
    _make("rollup_durations", ("dimension", "key", "month"), ("runs",), "bucket")
    fill()


def fill() -> None:
    """Fill the empty tables with the sums over all ended runs."""
    for rollup, name in (("rollup_models", "model"), ("rollup_agents", "agent_id")):
        op.execute(
            f"INSERT INTO {rollup} (day, {name}, status, created, {', '.join(SUMS)}) "
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


def _make(name: str, texts: tuple, sums: tuple, *numbers: str) -> None:
    table(
        name,
        columns(TEXT, *texts, "status"),
        columns(FLAG, "created"),
        columns(INTEGER, *numbers, *sums),
        key=(*texts, "status", "created", *numbers),
        checks={"status": f"status IN ({STATES})"},
    )


def _ended() -> str:
    at = "coalesce(created_at, accepted_at)"
    day = f"to_char(timezone('UTC', {at}), 'YYYY-MM-DD')" if is_server() else f"substr({at}, 1, 10)"
    return (
        f"SELECT {day} AS day, coalesce(model, '') AS model, coalesce(agent_id, '') AS agent_id, status, "
        "created_at IS NOT NULL AS created, cost_micros, input_tokens, output_tokens, duration_ms "
        f"FROM runs WHERE status IN ({ENDED})"
    )


def _sum(name: str) -> str:
    """Return the sum as `storage.engine.dialect.total` does: capped at the largest number of 64 bits."""
    if is_server():
        return f"least(coalesce(sum({name}), 0), {MOST})"
    low, high = f"sum({name} & 4294967295)", f"sum({name} >> 32)"
    high = f"({high} + ({low} >> 32))"
    return f"coalesce(CASE WHEN {high} > 2147483647 THEN {MOST} ELSE ({high} << 32) | ({low} & 4294967295) END, 0)"


def _bucket() -> str:
    """Return the bucket of a duration as `storage.stats.histogram` had it at this version."""
    cases = "".join(
        f" WHEN duration_ms < {32 << shift} THEN {16 * shift} + duration_ms / {1 << shift}" for shift in range(38)
    )
    return f"CASE WHEN duration_ms < 0 THEN 0{cases} ELSE {16 * 37 + 31} END"
