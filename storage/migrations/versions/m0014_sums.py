"""Put one table of sums, by day, month and ever, in place of three that had them by day alone."""

from __future__ import annotations

import struct
from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import accumulate
from typing import Any

import sqlalchemy as sa
from alembic import op

from storage.migrations.declarations import BYTES, INTEGER, TEXT, columns, is_server, table

revision = "0014"
down_revision = "0013"

KEYS = ("dimension", "span", "status", "period", "key")
SUMS = ("runs", "cost_micros", "input_tokens", "output_tokens", "timed", "duration_ms", "max_duration_ms")
SHARES = (50, 90, 95, 99)
PERCENTILES = tuple(f"p{share}_ms" for share in SHARES)
MOST = 2**63 - 1
#: Of each dimension: the old table of its sums, the column of its key there, and its name in that of durations.
OLD = (
    ("all", "rollup_models", "''", "day"),
    ("agent", "rollup_agents", "agent_id", "agent"),
    ("model", "rollup_models", "model", "model"),
)
Key = tuple[str, ...]


def upgrade() -> None:
    """Add up the rows of the old tables, which need not read the runs."""
    table(
        "rollup_sums",
        columns(TEXT, *KEYS),
        columns(INTEGER, *SUMS),
        columns(INTEGER, *PERCENTILES, null=True),
        columns(BYTES, "histogram"),
        key=KEYS,
    )
    sums, durations = _added()
    names = (*KEYS, *SUMS, *PERCENTILES, "histogram")
    rows = [dict(zip(names, _row(key, *sums[key], durations[key]), strict=True)) for key in sums]
    if rows:
        given = ", ".join(f":{name}" for name in names)
        op.get_bind().execute(sa.text(f"INSERT INTO rollup_sums ({', '.join(names)}) VALUES ({given})"), rows)
    cascade = " CASCADE" if is_server() else ""  # the views of the role for users' SQL
    for old in ("rollup_models", "rollup_agents", "rollup_durations"):
        op.execute(f"DROP TABLE {old}{cascade}")


def _added() -> tuple[dict[Key, list[int]], defaultdict[Key, Counter[int]]]:
    """Return the sums and the runs by bucket of each new row."""
    bind = op.get_bind()
    sums: dict[Key, list[int]] = {}
    durations = defaultdict[Key, Counter[int]](Counter)
    for dimension, old, value, name in OLD:
        stored = sa.text(f"SELECT {value}, day, status, {', '.join(SUMS)} FROM {old}")
        for key, day, status, *more in bind.execute(stored):
            for each in _keys(dimension, status, day, key):
                *before, longest = sums.get(each, [0] * len(SUMS))
                added = (one + int(other) for one, other in zip(before, more, strict=False))
                sums[each] = [*added, max(longest, int(more[-1]))]
        chosen = f"SELECT key, month, status, bucket, runs FROM rollup_durations WHERE dimension = '{name}'"
        for key, month, status, bucket, runs in bind.execute(sa.text(chosen)):
            period, value_of = (key, "") if dimension == "all" else (month, key)
            for each in _keys(dimension, status, period, value_of):
                durations[each][bucket] += int(runs)
    return sums, durations


def _keys(dimension: str, status: str, period: str, key: str) -> Iterator[Key]:
    """Yield the keys of the new rows that a row of the old tables belongs to."""
    yield dimension, "month", status, period[:7], key
    if dimension == "all":
        yield from ((dimension, "day", each, period, key) for each in ("", status))
    else:
        yield dimension, "ever", "", "", key


def _row(key: Key, *sums_and_durations: Any) -> tuple[Any, ...]:
    """Return the columns of a new row."""
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
