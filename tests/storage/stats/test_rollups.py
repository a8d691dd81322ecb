"""Rollups: whatever happens to runs, they are what those that have ended add up to."""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from alembic import command
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, delete, select, update

from storage import results, states
from storage.engine import column_types, connections
from storage.engine.database import Database
from storage.migrations import alembic_runner, schema_version
from storage.query import grammar
from storage.repositories import jobs, runs
from storage.retention import erasing
from storage.stats import histogram, rollups
from storage.tables.rollups import ROLLUP_SUMS
from storage.tables.runs import RUNS
from storage.transitions import settling, starting, submitting
from tests import life
from tests.conftest import EXAMPLES

pytestmark = pytest.mark.anyio

DAY = timedelta(days=1)
DURATIONS = st.none() | st.integers(0, 2**45)
COSTS = st.none() | st.integers(0, 10**9)
MEASURES = st.builds(
    life.measures,
    created_at=st.none() | st.sampled_from([life.NOW - number * DAY for number in range(40)]),
    model=st.sampled_from([None, "m-1", "m-2"]),
    duration_ms=DURATIONS,
    cost_micros=COSTS,
    input_tokens=COSTS,
)
ENDS = st.sampled_from(sorted(states.REPORTED))
#: A run: its agent, how it ends, what later documents say of it, and whether it is pruned in the end.
LIVES = st.tuples(st.sampled_from(["a", "b"]), ENDS, st.lists(MEASURES, min_size=1, max_size=3), st.booleans())


@pytest.fixture(params=["sqlite", "postgresql"], scope="module")
async def whole(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Database]:
    """A database that all examples of a property fill."""
    if request.param == "sqlite":
        template = request.getfixturevalue("template")
        url = f"sqlite:///{shutil.copy(template, tmp_path_factory.mktemp('whole') / 'runledger.db')}"
    else:
        url = request.getfixturevalue("cluster").fresh()
    async with Database(url) as opened:
        yield opened


async def lived(
    database: Database, agent: str, status: states.Status, versions: list[results.Measures]
) -> runs.Run:
    """A run that ended, with further documents that differ."""
    run = await life.running(database, agent_id=agent)
    for number, measures in enumerate(versions):
        body = f'{{"v":{number}}}'.encode()
        await life.settle(database, run, life.result(status, body, measures=measures), life.at(100 + number))
    return await life.get_run(database, run.id)


def naive(connection: Connection) -> dict[rollups.Key, tuple[Any, ...]]:
    """What the rollups should hold, run by run: the sums, the longest duration, and the runs by bucket."""
    sums: dict[rollups.Key, list[int]] = {}
    durations = defaultdict[rollups.Key, list[int]](list)
    for run in connection.execute(select(RUNS).where(RUNS.c.status.in_(sorted(states.TERMINAL)))):
        day, took = column_types.instant_text(run.created_at or run.accepted_at)[:10], run.duration_ms
        measured = (run.cost_micros or 0, run.input_tokens or 0, run.output_tokens or 0)
        for key in (
            ("all", "day", "", day, ""),
            ("all", "day", run.status, day, ""),
            ("all", "month", run.status, day[:7], ""),
            ("agent", "month", run.status, day[:7], run.agent_id or ""),
            ("agent", "ever", "", "", run.agent_id or ""),
            ("model", "month", run.status, day[:7], run.model or ""),
            ("model", "ever", "", "", run.model or ""),
        ):
            was = sums.get(rollups.Key(*key), [0] * 6)
            added = (1, *measured, took is not None, took or 0)
            sums[rollups.Key(*key)] = [one + more for one, more in zip(was, added, strict=True)]
            durations[rollups.Key(*key)] += [] if took is None else [took]
    return {key: (*sums[key], max(durations[key], default=0), *_shares(key, durations[key])) for key in sums}


def _shares(key: rollups.Key, durations: list[int]) -> tuple[Any, ...]:
    """The runs by bucket, and in rows of all states the percentiles."""
    buckets = sorted(map(histogram.bucket_of, durations))
    ranks = [-(-len(buckets) * percent // 100) for percent in (50, 90, 95, 99)] if key.status == "" else []
    at = [min(histogram.middle(buckets[rank - 1]), max(durations)) if buckets else None for rank in ranks]
    return dict(Counter(buckets)), *(at or [None] * 4)


def held(connection: Connection) -> dict[rollups.Key, tuple[Any, ...]]:
    """What they do hold."""
    found = {}
    for row in connection.execute(select(ROLLUP_SUMS)):
        key = rollups.Key(row.dimension, row.span, row.status, row.period, row.key)
        sums = (row.runs, row.cost_micros, row.input_tokens, row.output_tokens, row.timed, row.duration_ms)
        counts = dict(histogram.Histogram(row.histogram).counts)
        found[key] = (*sums, row.max_duration_ms, counts, row.p50_ms, row.p90_ms, row.p95_ms, row.p99_ms)
    return found


def by_day(held: dict[rollups.Key, tuple[Any, ...]]) -> dict[str, tuple[Any, ...]]:
    """The rows of days, over all states."""
    return {key.period: row for key, row in held.items() if (key.span, key.status) == ("day", "")}


async def demand_right(database: Database) -> None:
    assert await database.read(held) == await database.read(naive)
    assert (await database.read(rollups.verify)).differences == []


async def test_a_run_is_counted_once_it_has_ended_and_not_before(database: Database) -> None:
    run = await life.running(database)
    assert not await database.read(held)
    await life.settle(database, run, life.result())
    sums = (1, 3000, 90, 36, 1, 60_000, 60_000, {histogram.bucket_of(60_000): 1})
    found = await database.read(held)
    assert found[rollups.Key("agent", "month", "completed", "2026-11", "agent_1")] == (*sums, *[None] * 4)
    assert found[rollups.Key("agent", "ever", "", "", "agent_1")] == (*sums, *[60_000] * 4)
    assert len(found) == 7
    await demand_right(database)


async def test_every_way_to_end_is_counted(database: Database) -> None:
    for status in sorted(states.REPORTED):
        await life.settled_run(database, status)
    cancelled = await life.accepted(database)
    await database.write(submitting.request_cancel, cancelled.id, "key:backend", life.at(1))
    refused = await life.accepted(database)
    start = await life.claimed(database, states.Kind.START, refused.id)
    await database.write(starting.refuse, start, "no such agent", life.at(1))
    assert sum(row[0] for row in by_day(await database.read(held)).values()) == 5
    await demand_right(database)


@settings(max_examples=EXAMPLES // 3)
@given(lives=st.lists(LIVES, max_size=5))
async def test_the_rollups_equal_the_sums_over_runs_after_any_history(whole: Database, lives: list[Any]) -> None:
    for agent, status, versions, pruned in lives:
        await lived(whole, agent, status, versions)
        if pruned:
            await whole.write(erasing.erase, grammar.EVERYTHING, life.OLD, life.at(10_000))
    await demand_right(whole)
    await whole.write(rollups.rebuild)
    await demand_right(whole)


async def test_a_later_document_moves_a_run_to_where_it_belongs(database: Database) -> None:
    early, late = (
        life.measures(duration_ms=90_000),
        life.measures(duration_ms=10, model="m-9", created_at=life.at(-86_400)),
    )
    await lived(database, "a", states.COMPLETED, [life.measures(duration_ms=500)])
    await lived(database, "a", states.COMPLETED, [early, late])
    found = by_day(await database.read(held))
    assert {day: (row[0], row[6]) for day, row in found.items()} == {
        "2026-11-23": (1, 500),
        "2026-11-22": (1, 10),
    }
    await demand_right(database)


async def test_a_row_that_was_tampered_with_is_named_and_mended(database: Database) -> None:
    await life.settled_run(database, agent_id="a")
    await life.settled_run(database, agent_id="b")
    of_agent = ROLLUP_SUMS.c.dimension == "agent"
    changed = (
        update(ROLLUP_SUMS).values(runs=7).where(of_agent, ROLLUP_SUMS.c.key == "b", ROLLUP_SUMS.c.span == "ever")
    )
    await database.write(lambda connection: connection.execute(changed))
    removed = delete(ROLLUP_SUMS).where(ROLLUP_SUMS.c.dimension == "model", ROLLUP_SUMS.c.span == "month")
    await database.write(lambda connection: connection.execute(removed))
    first, second = (await database.read(rollups.verify)).differences
    assert (first.key["key"], first.key["span"]) == ("b", "ever")
    assert ((first.stored or {})["runs"], (first.counted or {})["runs"]) == (7, 1)
    assert (second.key["dimension"], second.key["span"], second.stored) == ("model", "month", None)
    await database.write(rollups.rebuild)
    await demand_right(database)


async def test_the_migration_counts_the_runs_of_an_older_store(empty_url: str) -> None:
    engine = connections.engine(empty_url, readonly=False, connections=1)
    with engine.begin() as connection:
        command.upgrade(alembic_runner.config(connection), "0004")
    with engine.begin() as connection:
        for number, status in enumerate(states.Status):
            for took in (None, 0, 31, 32, 60_000, 2**43):
                connection.execute(RUNS.insert().values(_old(f"{number}{took}", status, took)))
        schema_version.upgrade(connection)
    engine.dispose()
    async with Database(empty_url) as database:
        await demand_right(database)


def _old(id_: str, status: states.Status, took: int | None) -> dict[str, Any]:
    created = life.at((took or 0) % 10**6) if status is not states.REFUSED else None
    return {
        "id": id_,
        "origin": "submitted",
        "status": status.value,
        "submitted_by": "b",
        "accepted_at": life.NOW,
        "created_at": created,
        "duration_ms": took,
        "cost_micros": took,
        "agent_id": "a" if took else None,
    }


async def test_runs_that_end_during_a_rebuild_lose_no_count(served: Database) -> None:
    made = [await life.running(served, agent_id=agent) for agent in "abab" for _ in range(5)]
    await served.write(jobs.enqueue, [jobs.JobRequest(states.Kind.SETTLE, run.id, life.at(63)) for run in made])
    claims = await served.write(_claims, len(made))
    writers = [Database(served.url) for _ in range(3)]
    for writer in writers:
        await writer.__aenter__()
    await asyncio.gather(
        *(
            writers[number % 3].write(settling.record_result, claim, life.result(), life.at(63), None)
            for number, claim in enumerate(claims)
        ),
        *(writer.write(rollups.rebuild) for writer in writers),
    )
    for writer in writers:
        await writer.__aexit__()
    assert sum(row[0] for row in by_day(await served.read(held)).values()) == 20
    await demand_right(served)


def _claims(connection: Connection, limit: int) -> list[jobs.Claim]:
    return list(jobs.claim(connection, now=life.at(63), until=life.at(123), owner="w", limit=limit))
