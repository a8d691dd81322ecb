"""Statements about sums over runs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, select

from storage import conditions, dialect, filters
from storage.tables import RUNS

#: Rows of one answer at most, the most frequent first.
LIMIT = 1000


class By(StrEnum):
    """What runs are grouped by."""

    AGENT = "agent"
    MODEL = "model"
    STATUS = "status"
    ORIGIN = "origin"
    SETTLED_BY = "settled_by"
    DAY = "day"


@dataclass(frozen=True, slots=True)
class Row:
    """The sums of one group; `key` is None for runs without a value. Durations are in milliseconds."""

    key: str | None
    count: int
    cost_micros: int
    input_tokens: int
    output_tokens: int
    mean_duration_ms: int | None
    max_duration_ms: int | None


def by(connection: Connection, what: By, wanted: filters.Expression) -> list[Row]:
    """The sums of the runs that `wanted` chooses, by what `what` says; days newest first, others by count."""
    key = _key(connection, what).label("key")
    count = func.count().label("count")
    order = (key.desc(),) if what is By.DAY else (count.desc(), key)
    sums = (
        select(
            key,
            count,
            func.coalesce(func.sum(RUNS.c.cost_micros), 0),
            func.coalesce(func.sum(RUNS.c.input_tokens), 0),
            func.coalesce(func.sum(RUNS.c.output_tokens), 0),
            func.avg(RUNS.c.duration_ms),
            func.max(RUNS.c.duration_ms),
        )
        .where(*conditions.where(connection, wanted))
        .group_by(key)
        .order_by(*order)
        .limit(LIMIT)
    )
    return [_row(row) for row in connection.execute(sums)]


def _key(connection: Connection, what: By) -> ColumnElement[Any]:
    if what is By.DAY:
        return dialect.day(connection, func.coalesce(RUNS.c.created_at, RUNS.c.accepted_at))
    return _COLUMNS[what]


def _row(row: Any) -> Row:
    key, count, cost, tokens_in, tokens_out, mean, longest = row
    return Row(
        key, count, int(cost), int(tokens_in), int(tokens_out), None if mean is None else round(mean), longest
    )


_COLUMNS: dict[By, ColumnElement[Any]] = {
    By.AGENT: RUNS.c.agent_id,
    By.MODEL: RUNS.c.model,
    By.STATUS: RUNS.c.status,
    By.ORIGIN: RUNS.c.origin,
    By.SETTLED_BY: RUNS.c.settled_by,
}
