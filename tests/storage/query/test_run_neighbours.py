"""The neighbours of a run in a list."""

from __future__ import annotations

import pytest

from storage.engine.database import Database
from storage.query import grammar, run_neighbours
from tests import life

pytestmark = pytest.mark.anyio


async def test_the_neighbours_are_those_of_the_list_in_its_order(database: Database) -> None:
    made = [await life.accepted(database, agent_id=agent) for agent in ("a_1", "a_2", "a_1", "a_1")]
    asked = grammar.parse("agent:a_1", life.NOW)
    found = await database.read(run_neighbours.find, made[2].seq, asked, "-accepted")
    assert (found.before, found.behind) == (made[3].id, made[0].id)
    backwards = await database.read(run_neighbours.find, made[2].seq, asked, "accepted")
    assert (backwards.before, backwards.behind) == (made[0].id, made[3].id)


async def test_the_neighbours_follow_a_measure(database: Database) -> None:
    costs = (5, 1, 3)
    made = [
        await life.settled_run(database, result=life.result(measures=life.measures(cost_micros=cost)))
        for cost in costs
    ]
    found = await database.read(run_neighbours.find, made[2].seq, grammar.EVERYTHING, "-cost")
    assert (found.before, found.behind) == (made[0].id, made[1].id)


@pytest.mark.parametrize("sort", ["-relevance", "none", "", "-" * 50])
async def test_an_order_that_is_none_counts_as_the_order_of_acceptance(database: Database, sort: str) -> None:
    one, other = [await life.accepted(database) for _ in range(2)]
    found = await database.read(run_neighbours.find, one.seq, grammar.EVERYTHING, sort)
    assert (found.before, found.behind) == (other.id, None)
