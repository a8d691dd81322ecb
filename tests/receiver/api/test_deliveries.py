"""Deliveries in the API."""

from __future__ import annotations

import base64

import pytest

from storage import states
from storage.repositories import deliveries
from storage.transitions import receiving
from tests import life
from tests.receiver.api.app_fixture import Deployment, problem

pytestmark = pytest.mark.anyio


async def _received(deployment: Deployment, *received: deliveries.Delivery) -> list[str]:
    return [(await deployment.database.write(receiving.accept_delivery, each)).id for each in received]


async def _ids(deployment: Deployment, query: str) -> list[str]:
    return [each["id"] for each in (await deployment.get(f"/v1/deliveries{query}")).json()["deliveries"]]


async def test_deliveries_come_newest_first_in_pages(deployment: Deployment) -> None:
    made = await _received(deployment, *(life.event() for _ in range(5)))
    first = await deployment.get("/v1/deliveries?limit=3")
    assert [each["id"] for each in first.json()["deliveries"]] == made[:1:-1]
    second = await deployment.get(first.headers["link"].removeprefix("<").partition(">")[0])
    assert [each["id"] for each in second.json()["deliveries"]] == made[1::-1]
    assert second.json()["hasMore"] is False


async def test_deliveries_are_found_by_the_run_under_either_id(deployment: Deployment) -> None:
    run = await life.running(deployment.database, "run_up")
    mine, _ = await _received(deployment, life.delivery(run_id=run.id), life.event())
    assert await _ids(deployment, f"?run={run.id}") == [mine]
    assert await _ids(deployment, "?run=run_up") == [mine]
    assert await _ids(deployment, "?run=run_nobody") == []


async def test_deliveries_are_found_by_verdict_and_source(deployment: Deployment) -> None:
    event = life.event()
    first, again = await _received(deployment, event, life.event(event_id=event.event_id))
    assert await _ids(deployment, "?verdict=accepted") == [first]
    assert await _ids(deployment, "?verdict=duplicate&source=platform") == [again]
    assert await _ids(deployment, "?source=watcher") == []


async def test_a_parameter_of_deliveries_that_cannot_be_read_is_named(
    deployment: Deployment, subtests: pytest.Subtests
) -> None:
    for query in ["verdict=good", "source=sweep", "run=a/b", "run=", "limit=0", "rum=x"]:
        with subtests.test(f"{query!r:.60}"):
            assert (
                problem(await deployment.get(f"/v1/deliveries?{query}"), 400)["parameter"]
                == query.partition("=")[0]
            )


@pytest.mark.parametrize(("body", "text"), [('{"é":1}'.encode(), '{"é":1}'), (b"\xff\x00", None), (b"", "")])
async def test_a_delivery_shows_what_was_sent_byte_for_byte(
    deployment: Deployment, body: bytes, text: str | None
) -> None:
    (made,) = await _received(deployment, life.delivery(body=body))
    found = (await deployment.get(f"/v1/deliveries/{made}")).json()
    assert base64.b64decode(found["body"]) == body
    assert found["text"] == text
    assert found["headers"] == {"content-type": "application/json"}
    assert (found["size"], found["verdict"], found["source"]) == (len(body), "accepted", states.Source.WATCHER)


async def test_an_unknown_delivery_is_not_found(deployment: Deployment) -> None:
    problem(await deployment.get("/v1/deliveries/nothing"), 404)


async def test_an_unknown_source_is_answered_with_the_known_ones(deployment: Deployment) -> None:
    answer = problem(await deployment.get("/v1/deliveries?source=sweep"), 400)
    assert "'watcher' or 'platform'" in answer["detail"]


async def test_a_delivery_without_a_run_or_a_secret_is_not_processed_again(deployment: Deployment) -> None:
    (made,) = await _received(deployment, life.event())
    answer = problem(await deployment.post(f"/v1/deliveries/{made}/process", "admin"), 409)
    assert answer["type"] == "urn:runledger:problem:not-processable"
    assert (await deployment.post(f"/v1/deliveries/{made}/process", "read")).status_code == 403
