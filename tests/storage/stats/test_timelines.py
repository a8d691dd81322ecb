"""Sums over a time range: each number is that of the runs in it, wherever it was read from."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from sqlalchemy import Connection, select

from storage import states
from storage.engine.database import Database
from storage.query import grammar
from storage.stats import questions, timelines
from storage.stats.shares import Share
from storage.stats.timelines import Question, Slot, Timeline
from storage.tables.runs import RUNS
from tests import life

pytestmark = pytest.mark.anyio

DAY = timedelta(days=1)
MIDNIGHT = datetime(2026, 11, 23, tzinfo=UTC)


async def filled(database: Database) -> None:
    """Runs in the range and around it: of two agents, in several states, of three days."""
    for day, status in ((0, states.COMPLETED), (0, states.FAILED), (-1, states.CANCELLED), (-9, states.COMPLETED)):
        created = life.NOW + day * DAY
        reason = "HTTP 503 from 10.0.0.7" if status is states.FAILED else None
        took = 1000 * (2 - day)
        measures = life.measures(created_at=created, duration_ms=took, model="m-1", failure_reason=reason)
        result = life.result(status, measures=measures)
        await life.settled_run(database, status, result=result, agent_id=f"agent{day}")
    await life.running(database, agent_id="agent0")


async def asked(database: Database, slot: Slot, days: int = 3, text: str = "", **bounds: int) -> Timeline:
    question = Question(MIDNIGHT - (days - 1) * DAY, MIDNIGHT + DAY, slot, grammar.parse(text, life.NOW))
    return await database.timed_read(timelines.read, question, **bounds)


@pytest.mark.parametrize("slot", Slot)
async def test_the_runs_of_a_range_are_counted_by_period_and_state(database: Database, slot: Slot) -> None:
    await filled(database)
    found = await asked(database, slot)
    periods = {each: dict(sums.states) for each, sums in found.periods.items()}
    first = MIDNIGHT if slot is Slot.DAY else life.NOW
    assert periods == {first: {"completed": 1, "failed": 1, "running": 1}, first - DAY: {"cancelled": 1}}
    assert found.sums.states.total() == 4


@pytest.mark.parametrize("text", ["", "origin:submitted"])
async def test_days_are_the_same_from_rollups_and_from_rows(database: Database, text: str) -> None:
    await filled(database)
    found, by_hour = await asked(database, Slot.DAY, text=text), await asked(database, Slot.HOUR)
    question = Question(MIDNIGHT - 2 * DAY, MIDNIGHT + DAY, Slot.DAY, grammar.parse(text, life.NOW))
    summed = await database.timed_read(timelines.sums, question)
    assert summed is not None
    for each in (found.sums, summed):
        assert each.states == by_hour.sums.states
        assert each.cost_micros == by_hour.sums.cost_micros == 9000
        assert each.durations.counts == by_hour.sums.durations.counts
    assert found.agents == by_hour.agents


async def test_whole_months_and_the_days_around_them_make_the_same_agents_as_rows(database: Database) -> None:
    for day in (0, -22, -23, -40, -53, -54, -80):
        measures = life.measures(created_at=life.NOW + day * DAY, model=f"m{day % 2}")
        await life.settled_run(database, result=life.result(measures=measures), agent_id=f"agent{day % 3}")
    await life.running(database, agent_id="agent0")
    for days in (23, 54, 70, 90):
        low, high = MIDNIGHT - (days - 1) * DAY, MIDNIGHT + DAY
        found = await database.timed_read(timelines.read, Question(low, high, Slot.DAY))
        by_rows = await database.timed_read(timelines.read, Question(low, high, Slot.HOUR))
        assert (found.agents, found.models) == (by_rows.agents, by_rows.models)


async def test_runs_are_summed_by_agent_model_reason_and_source(database: Database) -> None:
    await filled(database)
    found = await asked(database, Slot.HOUR)
    assert found.agents == [Share("agent0", 3, 6000), Share("agent-1", 1, 3000)]
    assert found.models == [Share("m-1", 3, 9000), Share(None, 1, 0)]
    assert [(each.key, each.runs) for each in found.reasons] == [("HTTP 503 from #", 1)]
    assert dict(found.settled) == {(life.NOW, "watcher"): 2, (life.NOW - DAY, "watcher"): 1}
    assert sum(found.delays["watcher"].counts.values()) == 3


async def test_a_run_that_ended_before_it_was_accepted_has_no_delay(database: Database) -> None:
    early = life.measures(completed_at=life.at(-1))
    await life.settled_run(database, result=life.result(measures=early))
    found = await asked(database, Slot.HOUR)
    assert dict(found.sums.states) == {"completed": 1}
    assert dict(found.delays) == {}


async def test_a_filter_holds_for_every_number(database: Database) -> None:
    await filled(database)
    for slot in Slot:
        found = await asked(database, slot, text="status:failed")
        assert dict(found.sums.states) == {"failed": 1}
        assert [each.runs for each in (*found.agents, *found.models, *found.reasons)] == [1, 1, 1]


async def test_an_answer_names_the_window_where_more_runs_match_than_are_read(database: Database) -> None:
    await filled(database)
    found = await asked(database, Slot.DAY, bound=2)
    assert found.window == found.spent_window
    assert found.window is not None
    assert found.window.runs == 2
    assert found.sums.states.total() == 4
    assert sum(each.runs for each in found.agents) <= 2
    assert (await asked(database, Slot.DAY, bound=questions.MAX_RUNS_READ)).window is None


async def test_a_range_of_long_ago_is_read_whole_however_many_runs_are_newer(database: Database) -> None:
    await filled(database)
    old = Question(MIDNIGHT - 10 * DAY, MIDNIGHT - 8 * DAY, Slot.HOUR)
    found = await database.timed_read(timelines.read, old, bound=1)
    assert (found.window, dict(found.sums.states)) == (None, {"completed": 1})


async def test_days_that_are_not_whole_are_not_those_of_the_rollups(database: Database) -> None:
    await filled(database)
    half = Question(life.NOW - DAY, life.NOW, Slot.DAY)
    found = await database.timed_read(timelines.read, half)
    assert dict(found.sums.states) == {"cancelled": 1}


async def test_a_range_without_runs_has_no_sums(database: Database) -> None:
    for slot in Slot:
        found = await asked(database, slot)
        assert (found.periods, found.agents, found.reasons, found.sums.cost_micros) == ({}, [], [], 0)
        assert found.sums.durations.percentiles([50]) is None


FILTERS = ("status:failed", "agent:agent0", "tool:search", "-status:completed", "word", "tag.client:acme")


async def test_a_filter_holds_in_parts_of_a_range_as_in_all_of_it(database: Database) -> None:
    await filled(database)
    edges = (MIDNIGHT - 2000 * DAY, MIDNIGHT - 2 * DAY, MIDNIGHT, MIDNIGHT + DAY)
    for text in FILTERS:
        expression = grammar.parse(text, life.NOW)

        async def counted(low: datetime, high: datetime) -> Counter[str]:
            found = await database.timed_read(timelines.sums, Question(low, high, Slot.HOUR, expression))  # noqa: B023
            return Counter() if found is None else found.states

        parts = [await counted(low, high) for low, high in pairwise(edges)]
        assert sum(parts, Counter[str]()) == await counted(edges[0], edges[-1]), text


async def test_a_short_range_does_not_read_the_runs_of_a_state_of_all_time(embedded: Database) -> None:
    await filled(embedded)
    question = Question(MIDNIGHT, MIDNIGHT + DAY, Slot.HOUR, grammar.parse("status:failed", life.NOW))

    def plan(connection: Connection) -> list[str]:
        statement = select(RUNS.c.cost_micros).where(*timelines._where(connection, question))
        compiled = statement.compile(connection, compile_kwargs={"literal_binds": True})
        return [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}")]

    assert "SEARCH runs USING INDEX ix_runs_status (status=? AND rowid>? AND rowid<?)" in await embedded.read(plan)
