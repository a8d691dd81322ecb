"""The runs of each value, and their cost: from rows that were grouped more finely. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

from storage.stats import error_signatures, questions


class Share(NamedTuple):
    """The runs of one value, and their cost; the key is None where runs have no value."""

    key: str | None
    runs: int
    cost_micros: int = 0


def by_column(rows: Iterable[Any], name: str, further: Iterable[questions.Row]) -> list[Share]:
    """Return the runs and their cost by one of two columns, the most expensive first; `further` rows count too."""
    runs: Counter[str | None] = Counter()
    cost: Counter[str | None] = Counter()
    for row in rows:
        key = getattr(row, name) or None
        runs[key] += row.runs
        cost[key] += int(row.cost_micros or 0)
    for each in further:
        runs[each.key] += each.count
        cost[each.key] += each.cost_micros
    shares = [Share(key, count, cost[key]) for key, count in runs.items()]
    return sorted(shares, key=lambda each: (-each.cost_micros, -each.runs, each.key or ""))


def by_reason(rows: Iterable[Any]) -> list[Share]:
    """Return failure reasons, those with the same signature as one, the most frequent first."""
    runs: Counter[str | None] = Counter()
    for row in rows:
        runs[error_signatures.signature(row.key) if row.key else None] += row.runs
    return [Share(key, count) for key, count in runs.most_common(questions.MAX_REASONS)]
