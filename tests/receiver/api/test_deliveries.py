"""What came in, as the API tells it."""

from __future__ import annotations

import base64

import pytest

from storage import deliveries, states, transitions
from tests import life
from tests.receiver.api.house import House, problem

pytestmark = pytest.mark.anyio


async def _received(house: House, *received: deliveries.Delivery) -> list[str]:
    return [(await house.database.write(transitions.accept_delivery, each)).id for each in received]


async def _ids(house: House, query: str) -> list[str]:
    return [each["id"] for each in (await house.get(f"/v1/deliveries{query}")).json()["deliveries"]]


async def test_deliveries_come_newest_first_in_pages(house: House) -> None:
    made = await _received(house, *(life.event() for _ in range(5)))
    first = await house.get("/v1/deliveries?limit=3")
    assert [each["id"] for each in first.json()["deliveries"]] == made[:1:-1]
    second = await house.get(first.headers["link"].removeprefix("<").partition(">")[0])
    assert [each["id"] for each in second.json()["deliveries"]] == made[1::-1]
    assert second.json()["hasMore"] is False


async def test_deliveries_are_found_by_the_run_under_either_id(house: House) -> None:
    run = await life.running(house.database, "run_up")
    mine, _ = await _received(house, life.delivery(run_id=run.id), life.event())
    assert await _ids(house, f"?run={run.id}") == [mine]
    assert await _ids(house, "?run=run_up") == [mine]
    assert await _ids(house, "?run=run_nobody") == []


async def test_deliveries_are_found_by_verdict_and_road(house: House) -> None:
    event = life.event()
    first, again = await _received(house, event, life.event(event_id=event.event_id))
    assert await _ids(house, "?verdict=accepted") == [first]
    assert await _ids(house, "?verdict=duplicate&road=platform") == [again]
    assert await _ids(house, "?road=watcher") == []


@pytest.mark.parametrize("query", ["verdict=good", "road=sweep", "run=a/b", "run=", "limit=0", "rum=x"])
async def test_a_parameter_of_deliveries_that_cannot_be_read_is_named(house: House, query: str) -> None:
    assert problem(await house.get(f"/v1/deliveries?{query}"), 400)["parameter"] == query.partition("=")[0]


@pytest.mark.parametrize(("body", "text"), [('{"é":1}'.encode(), '{"é":1}'), (b"\xff\x00", None), (b"", "")])
async def test_a_delivery_shows_what_was_sent_byte_for_byte(house: House, body: bytes, text: str | None) -> None:
    (made,) = await _received(house, life.delivery(body=body))
    found = (await house.get(f"/v1/deliveries/{made}")).json()
    assert base64.b64decode(found["body"]) == body
    assert found["text"] == text
    assert found["headers"] == {"content-type": "application/json"}
    assert (found["size"], found["verdict"], found["road"]) == (len(body), "accepted", states.Road.WATCHER)


async def test_an_unknown_delivery_is_not_found(house: House) -> None:
    problem(await house.get("/v1/deliveries/nothing"), 404)


async def test_a_road_that_is_none_is_told_in_plain_words(house: House) -> None:
    told = problem(await house.get("/v1/deliveries?road=sweep"), 400)
    assert "'watcher' or 'platform'" in told["detail"]
