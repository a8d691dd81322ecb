"""The change feed."""

from __future__ import annotations

from typing import Any

import pytest

from storage.engine.database import Database
from storage.ledger import entries
from storage.transitions import restoring
from tests import life
from tests.receiver.api import app_fixture
from tests.receiver.api.app_fixture import Deployment, problem

pytestmark = pytest.mark.anyio


async def _feed(deployment: Deployment, query: str = "") -> dict[str, Any]:
    found: dict[str, Any] = (await deployment.get(f"/v1/changes{query}")).json()
    return found


async def test_nothing_is_in_the_feed_before_it_has_a_number(served: Database) -> None:
    async for deployment in app_fixture.opened(served):
        await life.accepted(served)
        assert await _feed(deployment) == {"changes": [], "hasMore": False, "nextAfter": -1, "restoredAt": None}


async def test_the_feed_is_read_from_number_to_number_without_gaps(deployment: Deployment) -> None:
    for _ in range(5):
        await life.running(deployment.database)
    await deployment.database.write(entries.number, 1000)
    numbers, after, has_more = [], -1, True
    while has_more:
        page = await _feed(deployment, f"?limit=4&after={after}")
        numbers += [change["number"] for change in page["changes"]]
        after, has_more = page["nextAfter"], page["hasMore"]
    assert numbers == list(range(len(numbers)))
    assert (await _feed(deployment, f"?after={after}"))["nextAfter"] == after


async def test_the_feed_links_to_its_next_page(deployment: Deployment) -> None:
    await life.running(deployment.database)
    await deployment.database.write(entries.number, 1000)
    response = await deployment.get("/v1/changes?limit=2")
    assert response.headers["link"] == '</v1/changes?limit=2&after=1>; rel="next"'


async def test_an_entry_has_facts_and_digests_and_no_contents(deployment: Deployment) -> None:
    run = await life.accepted(deployment.database, prompt="a secret prompt")
    await deployment.database.write(entries.number, 1000)
    change = next(each for each in (await _feed(deployment))["changes"] if each["run"] == run.id)
    assert (change["kind"], change["actor"]) == ("run.accepted", "key:backend")
    assert change["facts"] == {"origin": "submitted", "agentId": "agent_1", "submittedBy": "backend"}
    assert change["at"] == "2026-11-23T12:00:00.000000Z"
    assert len(change["digests"]["prompt"]) == 64


async def test_a_parameter_of_the_feed_that_cannot_be_read_is_named(
    deployment: Deployment, subtests: pytest.Subtests
) -> None:
    for query in ["after=-2", "after=x", f"after={2**53}", "after=1e3", "limit=251", "cursor=x"]:
        with subtests.test(f"{query!r:.60}"):
            assert (
                problem(await deployment.get(f"/v1/changes?{query}"), 400)["parameter"] == query.partition("=")[0]
            )


async def test_a_number_that_the_feed_has_not_reached_is_refused_as_of_another_history(
    deployment: Deployment,
) -> None:
    await life.running(deployment.database)
    await deployment.database.write(entries.number, 1000)
    last = await deployment.database.read(entries.last_number)
    answer = problem(await deployment.get(f"/v1/changes?after={last + 1}"), 409)
    assert answer["type"] == "urn:runledger:problem:beyond-the-end"
    assert f"ends with number {last}" in answer["detail"]


async def test_the_feed_shows_when_the_store_was_restored(deployment: Deployment) -> None:
    await deployment.database.write(restoring.mark_restored, life.NOW)
    assert (await _feed(deployment))["restoredAt"] == "2026-11-23T12:00:00.000000Z"
