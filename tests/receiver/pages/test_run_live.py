"""The live changes of a run: its steps while it runs, and its end."""

from __future__ import annotations

import asyncio
import json
import re

import hypothesis
import pytest
from hypothesis import strategies

from receiver.pages.run_parts import live_steps
from storage.engine.database import Database
from storage.repositories.stream_events import Event
from tests import life
from tests.receiver.api.test_run_events import Upstream
from tests.receiver.pages import browsing
from tests.receiver.pages.browsing import Browser

pytestmark = pytest.mark.anyio

CALL = {"callId": "call_1", "tool": "search_vault", "input": {"query": "<b>castings"}}


async def test_steps_appear_while_a_run_runs_and_then_its_page_is_read_again(database: Database) -> None:
    upstream = Upstream(Event(1, "tool.started", json.dumps(CALL)))
    async for browser in browsing.opened(database, listen=upstream.listen):
        await browser.sign_in()
        run = await life.running(database)
        async with asyncio.timeout(20), asyncio.TaskGroup() as group:
            live = group.create_task(browser.get(f"/runs/{run.id}/live"))
            while not upstream.closed:
                await asyncio.sleep(0.01)
            await life.settle(database, run, life.result())
        sent = live.result().text
        assert "search_vault</b>" in sent
        assert "&lt;b&gt;castings" in sent
        assert sent.endswith('event: changed\ndata: \n\nevent: close\ndata: {"type":"close"}\n\n')


async def test_the_live_changes_of_a_run_that_has_ended_end_at_once(browser: Browser) -> None:
    await browser.sign_in()
    run = await life.settled_run(browser.database)
    sent = await browser.get(f"/runs/{run.id}/live")
    assert sent.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert sent.text.startswith("event: close")


async def test_a_page_that_is_outdated_when_it_connects_is_read_again(browser: Browser) -> None:
    await browser.sign_in()
    run = await life.running(browser.database)
    shown = re.search(r"/live\?shown=\w+", (await browser.get(f"/runs/{run.id}")).text)
    assert shown is not None
    await life.settle(browser.database, run, life.result())
    sent = await browser.get(f"/runs/{run.id}{shown[0]}")
    assert sent.text.startswith("event: changed\ndata: \n\nevent: close")


async def test_a_page_is_not_closed_by_a_server_that_stops(database: Database) -> None:
    stopping = asyncio.Event()
    stopping.set()
    async for browser in browsing.opened(database, stopping=stopping):
        await browser.sign_in()
        run = await life.running(database)
        sent = await browser.get(f"/runs/{run.id}/live")
        assert "connect again" in sent.text
        assert "event: close" not in sent.text


def test_steps_are_put_together_from_events() -> None:
    steps = live_steps.LiveSteps()
    parts = [
        {"part": {"messageId": "m", "type": "text", "text": text}} for text in ("The clause ", "lists events")
    ]
    events = [("message.part.updated", parts[0]), ("message.part.updated", parts[1]), ("tool.started", CALL)]
    for at, (kind, data) in enumerate([*events, ("tool.completed", {"tool": "search_vault", "output": {}})]):
        assert steps.add(Event(at, kind, json.dumps(data)), life.at(at))
    found = [(step.name, step.text, step.is_open) for step in steps]
    assert found == [("Thinking", "The clause lists events", True), ("search_vault", "<b>castings", False)]


JSON = strategies.recursive(
    strategies.none() | strategies.text() | strategies.integers(),
    lambda inner: (
        strategies.lists(inner)
        | strategies.dictionaries(
            strategies.sampled_from([*CALL, "part", "messageId", "text", "message", "id"]), inner
        )
    ),
)
KINDS = strategies.sampled_from(["tool.started", "tool.completed", "message.part.updated", "message.updated", "x"])


@hypothesis.given(strategies.lists(strategies.tuples(KINDS, JSON)))
def test_no_event_breaks_the_list_of_steps(events: list[tuple[str, object]]) -> None:
    steps = live_steps.LiveSteps()
    for at, (kind, data) in enumerate(events):
        steps.add(Event(at, kind, json.dumps(data)), None)
    assert all(len(step.text) <= live_steps.TEXT + 1 for step in steps)
