"""Sums and values of all runs that a list finds."""

from __future__ import annotations

from datetime import timedelta

import pytest

from storage import states
from storage.engine.database import Database
from storage.query import grammar
from storage.stats import facets, found_runs
from tests import life

pytestmark = pytest.mark.anyio
LATER = life.at(7200)


async def mixed(database: Database) -> None:
    """Runs of two agents, created on two days, and an open one."""
    for day, status, agent in ((0, states.COMPLETED, "a"), (0, states.FAILED, "b"), (-86_400, states.FAILED, "b")):
        measures = life.measures(created_at=life.at(day), cost_micros=500)
        result = life.result(status, measures=measures)
        await life.settled_run(database, status, result=result, agent_id=agent, tags={"client": agent})
    await life.running(database, agent_id="b", expected_by=life.at(60))


async def summary(database: Database, question: str, bound: int = 100) -> found_runs.Summary:
    expression = grammar.parse(question, LATER)
    return await database.read(found_runs.find, expression, found_runs.Times(None, LATER), LATER, bound)


@pytest.mark.parametrize("question", ["", "agent:a,b"])
async def test_totals_are_the_same_from_rollups_and_from_rows(database: Database, question: str) -> None:
    await mixed(database)
    totals = (await summary(database, question)).totals
    assert totals.by_status == {"completed": 1, "failed": 2, "running": 1}
    assert (totals.runs, totals.failed, totals.running, totals.overdue) == (4, 2, 1, 1)
    assert totals.cost_micros == 1500


@pytest.mark.parametrize(("question", "failed"), [("", 2), ("-status:completed", 2), ("agent:a", 0)])
async def test_bars_have_every_run_once(database: Database, question: str, failed: int) -> None:
    await mixed(database)
    found = await summary(database, question)
    assert sum(each.runs for each in found.bars) == found.totals.runs
    assert sum(each.failed for each in found.bars) == failed
    assert all(one.end == other.start for one, other in zip(found.bars, found.bars[1:], strict=False))


async def test_bars_of_years_end_with_the_present_month(database: Database) -> None:
    old = life.measures(created_at=life.at(-86_400 * 3_650))
    await life.settled_run(database, result=life.result(measures=old))
    bars = (await summary(database, "")).bars
    assert bars[0].start <= life.at(-86_400 * 3_650) < bars[0].end
    assert bars[-1].start <= LATER < bars[-1].end


async def test_where_there_are_more_runs_than_are_read_the_sums_are_of_the_newest(database: Database) -> None:
    await mixed(database)
    found = await summary(database, "agent:a,b", bound=2)
    assert found.window is not None
    assert (found.window.runs, found.totals.runs) == (2, 2)


async def test_nothing_found_has_sums_of_nothing(database: Database) -> None:
    found = await summary(database, "agent:none")
    assert (found.totals.runs, found.totals.cost_micros) == (0, 0)
    assert (await summary(database, "")).totals.runs == 0


async def test_values_are_counted_of_what_is_found_and_of_what_could_be_chosen_instead(database: Database) -> None:
    await mixed(database)
    question = grammar.parse("agent:b", LATER)
    found = await database.read(facets.find, question, {"agent": grammar.EVERYTHING})
    counted = {each.name: dict(each.values) for each in found}
    assert counted["agent"] == {"b": 3, "a": 1}
    assert counted["status"] == {"failed": 2, "running": 1}
    assert counted["tag.client"] == {"b": 2}


async def test_tools_are_counted_where_they_are_asked_for(database: Database) -> None:
    await mixed(database)
    quick = await database.read(facets.find, grammar.EVERYTHING, {})
    whole = await database.read(facets.find, grammar.EVERYTHING, {}, 100, facets.NAMES)
    assert "tool" not in {each.name for each in quick}
    assert whole[-1].name == "tool"
    assert [count for _, count in whole[-1].values] == [3]


async def test_values_of_the_newest_runs_say_so(database: Database) -> None:
    await mixed(database)
    found = await database.read(facets.find, grammar.parse("agent:a,b", LATER), {}, 2)
    assert {each.name: each.newest for each in found}["settled_by"] == 2


async def test_a_question_about_the_time_of_creation_is_charted_by_it(database: Database) -> None:
    await mixed(database)
    found = await summary(database, "created:2026-11-22")
    assert (found.time, found.totals.runs, sum(each.runs for each in found.bars)) == ("created", 1, 1)
    assert all(f"{each.start:%F}" == "2026-11-22" for each in found.bars)


@pytest.mark.parametrize("hours", [0.2, 1, 20, 100, 3000])
async def test_a_run_is_in_the_bar_of_its_time_whatever_the_width(database: Database, hours: float) -> None:
    await life.accepted(database, accepted_at=life.at(60))
    since = life.NOW - timedelta(hours=hours)
    times = found_runs.Times(since, LATER, timedelta(hours=-5, minutes=-30))
    found = await database.read(found_runs.find, grammar.parse("origin:submitted", LATER), times, LATER)
    (bar,) = (each for each in found.bars if each.runs)
    assert bar.start <= life.at(60) < bar.end
