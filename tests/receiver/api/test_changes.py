"""The feed."""

from __future__ import annotations

from typing import Any

import pytest

from storage import ledger, transitions
from tests import life
from tests.receiver.api.house import House, problem

pytestmark = pytest.mark.anyio


async def _feed(house: House, query: str = "") -> dict[str, Any]:
    found: dict[str, Any] = (await house.get(f"/v1/changes{query}")).json()
    return found


async def test_nothing_is_in_the_feed_before_it_has_a_number(house: House) -> None:
    await life.accepted(house.database)
    assert await _feed(house) == {"changes": [], "hasMore": False, "nextAfter": -1, "restoredAt": None}


async def test_the_feed_is_read_from_number_to_number_without_gaps(house: House) -> None:
    for _ in range(5):
        await life.running(house.database)
    await house.database.write(ledger.number, 1000)
    numbers, after, has_more = [], -1, True
    while has_more:
        page = await _feed(house, f"?limit=4&after={after}")
        numbers += [change["number"] for change in page["changes"]]
        after, has_more = page["nextAfter"], page["hasMore"]
    assert numbers == list(range(len(numbers)))
    assert (await _feed(house, f"?after={after}"))["nextAfter"] == after


async def test_the_feed_links_to_its_next_page(house: House) -> None:
    await life.running(house.database)
    await house.database.write(ledger.number, 1000)
    response = await house.get("/v1/changes?limit=2")
    assert response.headers["link"] == '</v1/changes?limit=2&after=1>; rel="next"'


async def test_an_entry_tells_its_facts_and_digests_and_no_contents(house: House) -> None:
    run = await life.accepted(house.database, prompt="a secret prompt")
    await house.database.write(ledger.number, 1000)
    change = next(each for each in (await _feed(house))["changes"] if each["run"] == run.id)
    assert (change["kind"], change["actor"]) == ("run.accepted", "key:backend")
    assert change["facts"] == {"origin": "submitted", "agentId": "agent_1", "submittedBy": "backend"}
    assert change["at"] == "2026-11-23T12:00:00.000000Z"
    assert len(change["digests"]["prompt"]) == 64


@pytest.mark.parametrize("query", ["after=-2", "after=x", f"after={2**53}", "after=1e3", "limit=251", "cursor=x"])
async def test_a_parameter_of_the_feed_that_cannot_be_read_is_named(house: House, query: str) -> None:
    assert problem(await house.get(f"/v1/changes?{query}"), 400)["parameter"] == query.partition("=")[0]


async def test_a_place_that_the_feed_has_not_reached_is_told_to_be_of_another_history(house: House) -> None:
    await life.running(house.database)
    await house.database.write(ledger.number, 1000)
    last = await house.database.read(ledger.last_number)
    told = problem(await house.get(f"/v1/changes?after={last + 1}"), 409)
    assert told["type"] == "urn:runledger:problem:beyond-the-end"
    assert f"ends with number {last}" in told["detail"]


async def test_who_reads_the_feed_sees_when_the_store_was_restored(house: House) -> None:
    await house.database.write(transitions.restored, life.NOW)
    assert (await _feed(house))["restoredAt"] == "2026-11-23T12:00:00.000000Z"
