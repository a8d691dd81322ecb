"""Statements about runs that have not ended: how many there are, and which are overdue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, func, select

from storage import states
from storage.tables.runs import RUNS

#: The characters of a prompt that are shown.
_SHOWN = 200
_LIVE = sorted(states.LIVE)


class OverdueRun(NamedTuple):
    """A run that should have ended by `expected_by`, with the beginning of its prompt."""

    id: str
    status: str
    agent_id: str | None
    accepted_at: datetime
    expected_by: datetime
    prompt: str | None


@dataclass(frozen=True, slots=True)
class OpenRuns:
    """The number of runs by state, when the oldest of them was accepted, and how many are overdue."""

    counts: dict[str, int]
    oldest: datetime | None
    overdue: int
    first_overdue: Sequence[OverdueRun]


def read(connection: Connection, now: datetime, limit: int) -> OpenRuns:
    """Return the runs that have not ended, with those that are overdue the longest."""
    counted = select(RUNS.c.status, func.count(), func.min(RUNS.c.accepted_at)).where(RUNS.c.status.in_(_LIVE))
    rows = [tuple(row) for row in connection.execute(counted.group_by(RUNS.c.status))]
    is_late = (RUNS.c.settled_at.is_(None), RUNS.c.expected_by < now)
    named: tuple[Any, ...] = (RUNS.c.id, RUNS.c.status, RUNS.c.agent_id, RUNS.c.accepted_at, RUNS.c.expected_by)
    late = select(*named, func.substr(RUNS.c.prompt, 1, _SHOWN)).where(*is_late).order_by(RUNS.c.expected_by)
    return OpenRuns(
        {status: count for status, count, _ in rows},
        min((oldest for *_, oldest in rows), default=None),
        connection.execute(select(func.count()).where(*is_late)).scalar_one(),
        [OverdueRun._make(row) for row in connection.execute(late.limit(limit))],
    )


def has_runs(connection: Connection) -> bool:
    """Return whether there are runs at all, ended or not."""
    return connection.execute(select(RUNS.c.seq).limit(1)).first() is not None
