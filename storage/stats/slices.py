"""Statements that read rollups for statistics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, bindparam, func, or_, select, true

from storage.engine import dialect
from storage.stats import rollups
from storage.tables.rollups import ROLLUP_SUMS


@dataclass(frozen=True, slots=True)
class Slice:
    """A selection of the sums by states, agents or models (as `dimension` says), and ranges of days.

    A range includes its first day and excludes its last one. None selects all.
    """

    dimension: rollups.Dimension
    by: str
    statuses: Sequence[str] | None = None
    keys: Sequence[str] | None = None
    days: Sequence[tuple[str | None, str | None]] | None = None

    @property
    def exists(self) -> bool:
        """Return whether there are such sums: those of agents and models are kept by whole months only."""
        return self.dimension is rollups.Dimension.ALL or (self.by != "day" and self._has_whole_months)

    @property
    def span(self) -> rollups.Span:
        """Return the span of the rows to read, the longest that suffices."""
        if self.by == "day" or not self._has_whole_months:
            return rollups.Span.DAY
        is_ever = self.dimension is not rollups.Dimension.ALL and self.days is None and self._has_any
        return rollups.Span.EVER if is_ever and self.by != "month" else rollups.Span.MONTH

    @property
    def chosen_statuses(self) -> Sequence[str]:
        """Return the states of the rows to read."""
        if self._has_any and self.span is not rollups.Span.MONTH:
            return [rollups.ANY]
        return rollups.TERMINAL if self.statuses is None else self.statuses

    @property
    def has_percentiles(self) -> bool:
        """Return whether each key has one row, whose percentiles are those of the answer."""
        return self.by in ("day", self.dimension.value) and self.chosen_statuses == [rollups.ANY]

    @property
    def _has_any(self) -> bool:
        """Return whether rows that sum over all states suffice."""
        return self.statuses is None and self.by != "status"

    @property
    def _has_whole_months(self) -> bool:
        return all(edge.endswith("-01") for span in self.days or () for edge in span if edge is not None)


def sums(connection: Connection, chosen: Slice, *, packed: bool) -> Sequence[Row[*tuple[Any, ...]]]:
    """Return rows of key, the sums, the longest duration, and the histogram if `packed`, else the percentiles."""
    statement = _sums(connection, chosen.by, packed)
    if chosen.keys is not None:
        statement = statement.where(ROLLUP_SUMS.c.key.in_(chosen.keys))
    if chosen.days is not None:
        size = rollups.SIZES[chosen.span]
        statement = statement.where(or_(*(_between(span, size) for span in chosen.days)))
    given = {"dimension": chosen.dimension.value, "span": chosen.span.value, "statuses": chosen.chosen_statuses}
    return connection.execute(statement, given).all()


@dialect.built_once
def _sums(_connection: Connection, by: str, packed: bool) -> Any:
    key = {
        "day": ROLLUP_SUMS.c.period,
        "month": func.substr(ROLLUP_SUMS.c.period, 1, 7),
        "status": ROLLUP_SUMS.c.status,
    }
    names = (*rollups.TOTALS, *(("histogram",) if packed else rollups.PERCENTILE_COLUMNS))
    return select(key.get(by, ROLLUP_SUMS.c.key), *(ROLLUP_SUMS.c[name] for name in names)).where(
        ROLLUP_SUMS.c.dimension == bindparam("dimension"),
        ROLLUP_SUMS.c.span == bindparam("span"),
        ROLLUP_SUMS.c.status.in_(bindparam("statuses", expanding=True)),
    )


def _between(span: tuple[str | None, str | None], size: int) -> ColumnElement[bool]:
    low, high = span
    since = [] if low is None else [ROLLUP_SUMS.c.period >= low[:size]]
    until = [] if high is None else [ROLLUP_SUMS.c.period < high[:size]]
    return and_(true(), *since, *until)
