"""Sums that no integer of 64 bits holds: the largest number is reported, and every question is answered."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Connection, select

from storage import bounds, ids, states
from storage.engine.database import Database
from storage.query import grammar, run_pages
from storage.repositories import runs
from storage.stats import groups, histogram, questions, rollups
from storage.tables.runs import RUNS
from tests import life

pytestmark = pytest.mark.anyio

MANY, SINGLY, MOST = 1100, 1000, bounds.INTEGER - 1
WHOLE = (MANY, bounds.SUM, bounds.SUM, bounds.SUM)


def _ended(connection: Connection, many: int = MANY) -> None:
    """So many runs that ended on one day, each with as much as a run can have; the last ones one by one."""
    rows = [_row(at) for at in range(many)]
    connection.execute(RUNS.insert(), rows[:SINGLY])
    rollups.rebuild(connection)
    for row in rows[SINGLY:]:
        seq = runs.insert(connection, row)
        (run,) = runs.get_full(connection, [seq] if seq else [])
        rollups.recount(connection, None, rollups.measures(run))


def _row(at: int) -> dict[str, Any]:
    return {
        "id": ids.new(life.at(at)),
        "origin": states.Origin.SUBMITTED.value,
        "status": states.COMPLETED.value,
        "agent_id": "agent_1",
        "submitted_by": "backend",
        "accepted_at": life.NOW,
        "created_at": life.NOW,
        "completed_at": life.NOW,
        "settled_at": life.at(at),
        "settled_by": states.Source.SWEEP.value,
        **dict.fromkeys(("cost_micros", "input_tokens", "output_tokens", "duration_ms"), MOST),
    }


async def test_statistics_report_the_largest_number_where_a_sum_is_larger(database: Database) -> None:
    await database.write(_ended)
    for by in groups.By:
        found = await database.timed_read(questions.find, by, grammar.EVERYTHING)
        for row in found.stats:
            assert (row.count, row.cost_micros, row.input_tokens, row.output_tokens) == WHOLE
            assert by is groups.By.SOURCE or row.max_duration_ms == MOST
        assert len(found.stats) == (by is not groups.By.FAILURE_REASON)
        assert (found.read_from is questions.ReadFrom.ROLLUP) == (
            by.value in ("agent", "model", "status", "day", "month")
        )


async def test_lists_and_counts_of_such_runs_are_answered(database: Database) -> None:
    await database.write(_ended)
    page = run_pages.Query(grammar.parse("tokens:>1000", life.NOW), sort="-tokens", limit=2)
    found = await database.timed_read(run_pages.find, page, counted=True)
    assert found.total == run_pages.Count(MANY, exact=True)
    further = run_pages.Query(page.expression, page.sort, page.limit, found.cursor)
    again = await database.timed_read(run_pages.find, further)
    assert [run.seq for run in (*found.runs, *again.runs)] == [MANY, MANY - 1, MANY - 2, MANY - 3]


async def test_rollups_of_such_runs_verify_and_can_be_made_again(database: Database) -> None:
    await database.write(_ended)
    assert (await database.read(rollups.verify)).differences == []
    await database.write(rollups.rebuild)
    assert (await database.read(rollups.verify)).differences == []


async def test_a_sum_at_its_bound_is_recounted_after_a_subtraction(database: Database) -> None:
    await database.write(_ended, 1030)
    for keep in (1026, 1020):
        await database.write(_shrink, keep)
        assert (await database.read(rollups.verify)).differences == []
    (row,) = (await database.timed_read(questions.find, "agent", grammar.EVERYTHING)).stats
    assert row.input_tokens == 1020 * MOST + 10
    assert row.mean_duration_ms is not None
    assert histogram.bucket_of(row.mean_duration_ms) > 0


def _shrink(connection: Connection, keep: int) -> None:
    """All but so many of them turn out to have taken next to nothing."""
    rest = select(RUNS.c.seq).where(RUNS.c.seq > keep, RUNS.c.input_tokens > 1)
    for run in runs.get_full(connection, connection.execute(rest).scalars().all()):
        small = dict.fromkeys(("cost_micros", "input_tokens", "output_tokens", "duration_ms"), 1)
        runs.update(connection, RUNS.c.id == run.id, small)
        rollups.recount(connection, rollups.measures(run), rollups.measures(run, small))
