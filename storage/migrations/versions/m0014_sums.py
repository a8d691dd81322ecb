"""Put one table of sums over ended runs, by day, month and ever, in place of those that earlier releases had."""

from __future__ import annotations

import struct
from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import accumulate
from typing import Any

import sqlalchemy as sa
from alembic import op

from storage.migrations.declarations import is_server, table

revision = "0014"
down_revision = "0013"

KEYS = ("dimension", "span", "status", "period", "key")
SUMS = ("runs", "cost_micros", "input_tokens", "output_tokens", "timed", "duration_ms", "max_duration_ms")
SHARES = (50, 90, 95, 99)
PERCENTILES = tuple(f"p{share}_ms" for share in SHARES)
MOST = 2**63 - 1
VALUES = {"all": "''", "agent": "coalesce(agent_id, '')", "model": "coalesce(model, '')"}
Key = tuple[str, ...]


def upgrade() -> None:
    """Count the runs that have ended; the old tables may be missing, since a new store no longer gets them."""
    table(
        "rollup_sums",
        f"text: {'* '.join(KEYS)}* integer: {' '.join(SUMS)} {'? '.join(PERCENTILES)}? bytes: histogram",
    )
    sums, durations = _counted()
    names = (*KEYS, *SUMS, *PERCENTILES, "histogram")
    rows = [dict(zip(names, _row(key, *sums[key], durations[key]), strict=True)) for key in sums]
    if rows:
        given = ", ".join(f":{name}" for name in names)
        op.get_bind().execute(sa.text(f"INSERT INTO rollup_sums ({', '.join(names)}) VALUES ({given})"), rows)
    cascade = " CASCADE" if is_server() else ""  # the views of the role for users' SQL
    for old in ("rollup_models", "rollup_agents", "rollup_durations"):
        op.execute(f"DROP TABLE IF EXISTS {old}{cascade}")


def _counted() -> tuple[dict[Key, list[int]], defaultdict[Key, Counter[int]]]:
    """Return the sums and the runs by bucket of each row."""
    sums: dict[Key, list[int]] = {}
    durations = defaultdict[Key, Counter[int]](Counter)
    for dimension, value in VALUES.items():
        for period, key, status, bucket, *more in op.get_bind().execute(sa.text(_sql(value))):
            for each in _keys(dimension, status, period, key):
                *before, longest = sums.get(each, [0] * len(SUMS))
                added = (one + int(other) for one, other in zip(before, more, strict=False))
                sums[each] = [*added, max(longest, int(more[-1]))]
                if bucket is not None:
                    durations[each][bucket] += more[0]
    return sums, durations


def _sql(value: str) -> str:
    """Return the query for the sums of ended runs by day, value, state and bucket."""
    at = "coalesce(created_at, accepted_at)"
    day = f"to_char(timezone('UTC', {at}), 'YYYY-MM-DD')" if is_server() else f"substr({at}, 1, 10)"
    bucket = "".join(
        f" WHEN duration_ms < {32 << shift} THEN {16 * shift} + duration_ms / {1 << shift}" for shift in range(38)
    )
    return (
        f"SELECT {day}, {value}, status, CASE WHEN duration_ms IS NULL THEN NULL WHEN duration_ms < 0 THEN 0{bucket} "
        f"ELSE {16 * 37 + 31} END, count(*), {_sum('cost_micros')}, {_sum('input_tokens')}, {_sum('output_tokens')}, "
        f"count(duration_ms), {_sum('duration_ms')}, "
        "coalesce(max(CASE WHEN duration_ms < 0 THEN 0 ELSE duration_ms END), 0) "
        "FROM runs WHERE status IN ('completed', 'failed', 'cancelled', 'refused') GROUP BY 1, 2, 3, 4"
    )


def _sum(name: str) -> str:
    """Return the sum as `storage.engine.dialect.total` does: capped at the largest number of 64 bits."""
    if is_server():
        return f"least(coalesce(sum({name}), 0), {MOST})"
    low, high = f"sum({name} & 4294967295)", f"sum({name} >> 32)"
    high = f"({high} + ({low} >> 32))"
    return f"coalesce(CASE WHEN {high} > 2147483647 THEN {MOST} ELSE ({high} << 32) | ({low} & 4294967295) END, 0)"


def _keys(dimension: str, status: str, day: str, key: str) -> Iterator[Key]:
    """Yield the keys of the rows that an ended run is counted in."""
    yield dimension, "month", status, day[:7], key
    if dimension == "all":
        yield from ((dimension, "day", each, day, key) for each in ("", status))
    else:
        yield dimension, "ever", "", "", key


def _row(key: Key, *sums_and_durations: Any) -> tuple[Any, ...]:
    """Return the columns of a row."""
    *sums, longest, durations = sums_and_durations
    first = min(durations, default=0)
    counts = [durations[bucket] for bucket in range(first, max(durations, default=-1) + 1)]
    capped = [min(each, MOST) for each in sums]
    percentiles = [None] * len(SHARES) if key[2] else _percentiles(first, counts, longest)
    return (*key, *capped, longest, *percentiles, struct.pack(f"<{1 + len(counts)}I", first, *counts))


def _percentiles(first: int, counts: list[int], longest: int) -> Iterator[int | None]:
    sums = list(accumulate(counts))
    for share in SHARES:
        if not sums:
            yield None
            continue
        rank = max(-(-sums[-1] * share // 100), 1)
        yield min(_middle(next(bucket for bucket, each in enumerate(sums, first) if each >= rank)), longest)


def _middle(bucket: int) -> int:
    """Return the duration that represents a bucket as `storage.stats.histogram` had it at this version."""
    shift = max(bucket // 16 - 1, 0)
    return ((bucket - 16 * shift) << shift) + ((1 << shift) - 1) // 2
