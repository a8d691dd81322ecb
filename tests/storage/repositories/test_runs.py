"""Finding runs, one by one and in pages."""

from __future__ import annotations

from typing import Any

import pytest

from storage import states
from storage.engine.database import Database
from storage.query import grammar, run_pages
from storage.query.run_pages import Query
from storage.repositories import runs
from storage.transitions import starting, sweeping
from tests import life

pytestmark = pytest.mark.anyio


async def ids_of(database: Database, **query: Any) -> list[str]:
    """All ids that a query gives, page by page."""
    found: list[str] = []
    cursor: str | None = None
    while True:
        page, cursor = await database.read(run_pages.page, Query(cursor=cursor, **query))
        found += [run.id for run in page]
        assert len(found) < 100, "pages go round in circles"
        if cursor is None:
            return found


async def test_a_run_is_found_by_our_id_and_by_the_upstreams(database: Database) -> None:
    run = await life.queued(database, "run_1")
    assert await database.read(runs.find, "run_1") == await database.read(runs.find, run.id) == run


async def test_the_upstream_id_of_an_orphan_finds_its_run(database: Database) -> None:
    run = await life.queued(database, "run_1")
    await database.write(starting.record_orphan, run.id, "run_2", life.NOW)
    assert await database.read(runs.find, "run_2") == run


async def test_an_unknown_run_is_not_found(database: Database) -> None:
    assert await database.read(runs.find, "run_1") is None


async def test_a_run_has_its_tags(database: Database) -> None:
    run = await life.accepted(database, tags={"matter": "7", "client": "é"})
    assert (await life.get_run(database, run.id)).tags == {"matter": "7", "client": "é"}


async def test_lists_are_newest_first(database: Database) -> None:
    made = [(await life.accepted(database)).id for _ in range(5)]
    assert await ids_of(database, limit=2) == made[::-1]


async def test_lists_can_be_oldest_first(database: Database) -> None:
    made = [(await life.accepted(database)).id for _ in range(5)]
    assert await ids_of(database, limit=2, sort="accepted") == made


async def test_a_page_that_is_just_full_is_the_last(database: Database) -> None:
    for _ in range(2):
        await life.accepted(database)
    assert (await database.read(run_pages.page, Query(limit=2)))[1] is None


@pytest.mark.parametrize("name", ["created", "settled", "cost", "duration"])
async def test_every_order_shows_every_run_once(name: str, database: Database) -> None:
    made = {(await life.accepted(database)).id for _ in range(3)}
    for cost in (2, 1, 2):
        measures = life.measures(cost_micros=cost, duration_ms=cost, created_at=life.at(cost))
        made.add((await life.settled_run(database, result=life.result(measures=measures))).id)
    descending = await ids_of(database, limit=1, sort=f"-{name}")
    assert (set(descending), await ids_of(database, limit=2, sort=name)) == (made, descending[::-1])


async def test_runs_without_a_value_come_last_descending(database: Database) -> None:
    without = await life.accepted(database)
    settled = await life.settled_run(database)
    assert await ids_of(database, sort="-cost") == [settled.id, without.id]


async def test_lists_cut_the_prompt(database: Database) -> None:
    await life.settled_run(database, prompt="x" * 500)
    ((listed,), _) = await database.read(run_pages.page, Query())
    assert listed.prompt == "x" * runs.LIST_PROMPT_LENGTH


async def test_lists_show_tags(database: Database) -> None:
    await life.accepted(database, tags={"matter": "7"})
    ((listed,), _) = await database.read(run_pages.page, Query())
    assert listed.tags == {"matter": "7"}


async def test_a_page_goes_on_within_its_filter(database: Database) -> None:
    made = [(await life.accepted(database, agent_id=f"a{number % 2}")).id for number in range(6)]
    expression = grammar.parse("agent:a1", life.NOW)
    assert await ids_of(database, expression=expression, limit=1) == made[5::-2]


async def test_the_oldest_open_run_is_known_by_its_creation(database: Database) -> None:
    await life.settled_run(database)
    await life.running(database)
    assert await database.read(runs.oldest_open) == life.at(1)


async def test_without_open_runs_there_is_no_oldest(database: Database) -> None:
    await life.settled_run(database)
    await life.accepted(database)
    assert await database.read(runs.oldest_open) is None


async def test_open_runs_are_asked_longest_ago_first(database: Database) -> None:
    first, second, third = [await life.running(database, f"run_{number}") for number in range(3)]
    for run, second_asked in ((first, 30), (third, 20)):
        seen = [sweeping.ListedRun(run.upstream_id or "", states.RUNNING)]
        await database.write(sweeping.record_listed, seen, life.at(second_asked))
    unasked = await database.read(runs.unasked, life.at(40), life.at(40), 10)
    assert [run.id for run in unasked] == [second.id, third.id, first.id]


async def test_a_run_that_was_just_asked_about_is_left_alone(database: Database) -> None:
    await life.running(database, "run_1")
    await database.write(sweeping.record_listed, [sweeping.ListedRun("run_1", states.RUNNING)], life.at(30))
    assert await database.read(runs.unasked, life.at(30), life.at(30), 10) == []


async def test_runs_that_the_upstream_does_not_know_yet_or_that_ended_are_not_asked_about(
    database: Database,
) -> None:
    await life.accepted(database)
    await life.settled_run(database)
    assert await database.read(runs.unasked, life.at(999), life.at(999), 10) == []


async def test_submissions_that_may_have_lost_creates_are_those_without_an_upstream_id(database: Database) -> None:
    open_one = await life.accepted(database)
    await life.queued(database)
    assert [run.id for run in await database.read(runs.unlinked)] == [open_one.id]


async def test_similar_submissions_are_to_the_same_agent_and_begin_alike(database: Database) -> None:
    alike = await life.accepted(database, prompt="Review % the lease. A")
    await life.accepted(database, prompt="Review X the lease. B")
    await life.accepted(database, prompt="Review % the lease. C", agent_id="agent_2")
    found = await database.read(runs.similar_submissions, "agent_1", "Review % the", life.NOW)
    assert [run.id for run in found] == [alike.id]


async def test_another_known_run_is_the_one_that_settled_last(database: Database) -> None:
    run = await life.running(database)
    await life.settled_run(database, upstream_id="run_1")
    assert await database.read(runs.other_upstream_id, run.id) == "run_1"


async def test_a_run_that_should_have_ended_is_overdue(database: Database) -> None:
    await life.accepted(database)
    await life.settled_run(database)
    counts = [await database.read(runs.overdue, life.at(second)) for second in (3600, 3601)]
    assert counts == [0, 1]
