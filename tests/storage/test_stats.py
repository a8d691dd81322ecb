"""Sums over runs."""

from __future__ import annotations

import pytest

from storage import filters, states, stats
from storage.database import Database
from tests import life

pytestmark = pytest.mark.anyio

EVERYTHING = filters.EVERYTHING


async def test_runs_are_summed_by_agent(database: Database) -> None:
    for _ in range(2):
        await life.settled_run(database, agent_id="busy")
    await life.accepted(database, agent_id="idle")
    assert await database.read(stats.by, stats.By.AGENT, EVERYTHING) == [
        stats.Row("busy", 2, 6000, 180, 72, 60_000, 60_000),
        stats.Row("idle", 1, 0, 0, 0, None, None),
    ]


async def test_the_mean_and_the_longest_duration_are_told(database: Database) -> None:
    for duration in (10, 31):
        await life.settled_run(database, result=life.result(measures=life.measures(duration_ms=duration)))
    (row,) = await database.read(stats.by, stats.By.AGENT, EVERYTHING)
    assert (row.mean_duration_ms, row.max_duration_ms) == (20, 31)


async def test_runs_without_a_value_are_a_group_too(database: Database) -> None:
    await life.accepted(database)
    (row,) = await database.read(stats.by, stats.By.MODEL, EVERYTHING)
    assert (row.key, row.count) == (None, 1)


async def test_days_are_those_of_creation_or_acceptance_newest_first(database: Database) -> None:
    yesterday = life.measures(created_at=life.at(-86_400))
    await life.settled_run(database, result=life.result(measures=yesterday))
    await life.accepted(database)
    rows = await database.read(stats.by, stats.By.DAY, EVERYTHING)
    assert [(row.key, row.count) for row in rows] == [("2026-11-23", 1), ("2026-11-22", 1)]


async def test_the_filter_chooses_what_is_summed(database: Database) -> None:
    await life.settled_run(database)
    await life.settled_run(database, states.FAILED)
    failed = filters.parse("status:failed", life.NOW)
    rows = await database.read(stats.by, stats.By.STATUS, failed)
    assert [(row.key, row.count) for row in rows] == [("failed", 1)]


@pytest.mark.parametrize("by", stats.By)
async def test_every_grouping_counts_every_run(by: stats.By, database: Database) -> None:
    await life.settled_run(database)
    await life.accepted(database)
    assert sum(row.count for row in await database.read(stats.by, by, EVERYTHING)) == 2
