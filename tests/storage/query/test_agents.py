"""The names of agents: stored, found by filters, and noticed where one is missing."""

from __future__ import annotations

import pytest

from storage import states
from storage.engine.database import Database
from storage.query import agents, grammar, run_pages
from storage.stats import questions
from tests import life

pytestmark = pytest.mark.anyio
NAMES = {
    "agent_a": "Clause reviewer",
    "agent_b": "Clause reviewer",
    "agent_c": "agent_d",
    "agent_e": 'Drafts, "new"',
}


async def filled(database: Database) -> None:
    """Store agents, and a run of each and of one that has no name."""
    await database.write(agents.keep, NAMES, life.NOW)
    for agent in (*NAMES, "agent_d"):
        await life.settled_run(database, states.COMPLETED, agent_id=agent)


async def found(database: Database, text: str) -> list[str | None]:
    """Return the agents of the runs that a filter finds, in order."""
    asked = run_pages.Query(grammar.parse(text, life.NOW))
    page = await database.read(run_pages.find, asked)
    assert (await database.read(run_pages.count, asked.expression)).count == len(page.runs)
    sums = await database.read(questions.find, "agent", asked.expression)
    assert sum(row.count for row in sums.stats) == len(page.runs)
    return sorted(run.agent_id for run in page.runs)


async def test_a_filter_finds_runs_by_the_name_of_their_agent_as_by_its_id(
    database: Database, subtests: pytest.Subtests
) -> None:
    await filled(database)
    both = ["agent_a", "agent_b"]
    cases = {
        'agent:"Clause reviewer"': both,
        'agent:"Clause reviewer" status:completed': both,
        'agent:"Clause reviewer" status:failed': [],
        "agent:Clause*": both,
        'agent:"Drafts, \\"new\\"",agent_b': ["agent_b", "agent_e"],
        '-agent:"Clause reviewer"': ["agent_c", "agent_d", "agent_e"],
        "agent:agent_a": ["agent_a"],
        "agent:nobody": [],
    }
    for text, expected in cases.items():
        with subtests.test(text):
            assert await found(database, text) == expected


async def test_a_name_that_is_an_id_takes_no_runs_from_that_agent(database: Database) -> None:
    await filled(database)
    assert await found(database, "agent:agent_d") == ["agent_d"]
    assert await found(database, "agent:agent_d status:completed") == ["agent_d"]


async def test_names_are_renewed_and_those_not_listed_stay(database: Database) -> None:
    await database.write(agents.keep, NAMES, life.NOW)
    await database.write(agents.keep, {"agent_b": "Drafter"}, life.at(5))
    assert await database.read(agents.names) == NAMES | {"agent_b": "Drafter"}
    assert await database.read(agents.seen_at) == life.at(5)


async def test_the_agents_listed_last_are_kept_of_too_many(database: Database) -> None:
    older = {f"agent_{at:05}": f"Agent {at}" for at in range(agents.MOST)}
    await database.write(agents.keep, older, life.NOW)
    await database.write(agents.keep, NAMES, life.at(5))
    assert NAMES.items() <= (await database.read(agents.names)).items()
    assert len(await database.read(agents.names)) <= agents.MOST


async def test_a_new_run_of_an_agent_without_a_name_is_noticed(database: Database) -> None:
    await database.write(agents.keep, NAMES, life.NOW)
    await life.accepted(database, agent_id="agent_a", accepted_at=life.at(2))
    await life.accepted(database, agent_id=None, instructions="Review.", accepted_at=life.at(3))
    assert not await database.read(agents.has_unknown, life.at(1))
    await life.accepted(database, agent_id="agent_new", accepted_at=life.at(4))
    assert await database.read(agents.has_unknown, life.at(1))
    assert not await database.read(agents.has_unknown, life.at(4))
