"""The runs before and behind one in a list."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select

from storage import cursors
from storage.engine import column_types
from storage.query import conditions, grammar, run_pages
from storage.tables.runs import RUNS


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The ids of the runs before and behind a run; None at the ends of the list."""

    before: str | None
    behind: str | None


def find(connection: Connection, seq: int, expression: grammar.Expression, sort: str) -> Neighbours:
    """Return the neighbours of a run in the list of the runs that match, whether or not it matches itself.

    Runs without a value of the sort column come last in either direction, so they have none before them.
    """
    name, expression = sort.lstrip("-"), conditions.by_agent_ids(connection, expression)
    column = run_pages.SORTS.get(name)
    if column is None:
        name, sort, column = "accepted", "-accepted", run_pages.SORTS["accepted"]
    value = None
    if name != "accepted":
        value = connection.execute(select(column).where(RUNS.c.seq == seq)).scalar()
        value = column_types.instant_text(value) if isinstance(value, datetime) else value
    backwards = name if sort.startswith("-") else f"-{name}"
    behind = _next(connection, expression, cursors.Cursor(sort, value, seq))
    is_last = value is None and name != "accepted"
    before = None if is_last else _next(connection, expression, cursors.Cursor(backwards, value, seq))
    return Neighbours(before, behind)


def _next(connection: Connection, expression: grammar.Expression, cursor: cursors.Cursor) -> str | None:
    found, _ = run_pages.page(connection, run_pages.Query(expression, cursor.sort, 1, str(cursor)))
    return next((str(line.id) for line in found), None)
