"""`show --follow`: from the database where the stream was captured, else from the upstream."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence

import pytest

from storage import states
from storage.engine.database import Database
from storage.query import grammar
from storage.repositories import jobs, runs
from storage.repositories.stream_events import Event
from storage.retention import erasing
from storage.transitions import follow_up
from tests import life, sandbox_server
from tests.patience import until
from tests.receiver.cli.terminal import Screen, Terminal
from tests.sandbox_server import Sandbox

EVENTS = [
    Event(3, "session.created", '{"type":"session.created","sessionId":"s"}'),
    Event(
        9, "tool.started", '{"type":"tool.started","tool":"web_search","input":{"query":"force\\u001b majeure"}}'
    ),
    Event(12, "run.completed", '{"type":"run.completed","status":"completed"}'),
]


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """Yield a sandbox whose runs go on until a test ends them."""
    with sandbox_server.running(run_seconds=300.0) as server:
        yield server


async def captured(database: Database, output: Sequence[Event] = EVENTS) -> runs.Run:
    run = await life.settled_run(database)
    await database.write(jobs.enqueue, [jobs.JobRequest(states.Kind.CAPTURE, run.id, life.NOW)])
    claim = await life.claimed(database, states.Kind.CAPTURE, run.id)
    await database.write(follow_up.store_events, claim, output, life.NOW)
    await database.write(follow_up.complete_capture, claim, "the stream is longer than the limit", life.at(9))
    return run


def test_a_captured_stream_is_drawn_without_the_upstream(terminal: Terminal) -> None:
    run = terminal.in_database(captured)
    shown = terminal.type("show", run.id, "--follow")
    assert shown.code == 0
    lines = [line.split() for line in shown.out.splitlines()]
    assert [line[:2] for line in lines[:3]] == [[str(each.id), each.type] for each in EVENTS]
    assert "web_search · force\N{REPLACEMENT CHARACTER} majeure" in shown.out
    assert lines[3][:2] == ["completed", run.id]
    assert ", not whole: the stream is longer" in terminal.type("show", run.id).out
    assert shown.err == "runledger: not captured whole: the stream is longer than the limit\n"


def test_programs_are_given_an_object_a_line_and_the_run_last(terminal: Terminal) -> None:
    run = terminal.in_database(captured)
    *events, last = terminal.type("show", run.id, "--follow", "--json").objects
    assert [(each["id"], each["type"]) for each in events] == [(each.id, each.type) for each in EVENTS]
    assert events[2]["data"]["status"] == "completed"
    assert (last["id"], last["status"]) == (run.id, "completed")


def test_data_that_is_spread_or_nested_however_deep_is_one_line(terminal: Terminal) -> None:
    spread = Event(1, "tool.started", '{"tool":\n"search"}')
    deep = [Event(2 + n, "tool.completed", '{"a":' * n + "1" + "}" * n) for n in range(800, 1000, 10)]
    run = terminal.in_database(lambda database: captured(database, [spread, *deep]))
    lines = terminal.type("show", run.id, "--follow", "--json").out.splitlines()
    assert json.loads(lines[0]) == {"id": 1, "type": "tool.started", "data": {"tool": "search"}}
    assert len(lines) == 2 + len(deep)
    drawn = terminal.type("show", run.id, "--follow")
    assert (drawn.code, drawn.out.count("tool.completed")) == (0, len(deep))


def test_of_what_was_removed_nothing_is_drawn(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CASEDEV_API_KEY", sandbox_server.KEY)
    run = terminal.in_database(life.settled_run)
    terminal.in_database(
        lambda database: database.write(erasing.erase, grammar.EVERYTHING, life.OLD, life.at(1000))
    )
    shown = terminal.type("show", run.id, "--follow")
    assert (shown.code, shown.out) == (1, "")
    assert "was removed" in shown.err


def test_a_running_run_is_followed_upstream_to_its_end(
    terminal: Terminal, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CASEDEV_API_KEY", sandbox_server.KEY)
    monkeypatch.setenv("CASEDEV_BASE_URL", sandbox.url)
    with sandbox.client() as api:
        upstream_id = sandbox_server.new_run(api)
        api.post(f"/agent/v1/run/{upstream_id}/exec").raise_for_status()
    run = terminal.in_database(lambda database: life.running(database, upstream_id))
    shown: list[Screen] = []
    following = threading.Thread(target=lambda: shown.append(terminal.type("show", run.id, "--follow")))
    following.start()
    until(lambda: sandbox.calls("events"))
    sandbox.finish(upstream_id, "completed")
    terminal.in_database(lambda database: life.settle(database, run, life.result(states.COMPLETED)))
    following.join(60)
    (screen,) = shown
    kinds = [line.split()[1] for line in screen.out.splitlines()]
    assert (kinds[0], kinds[-3]) == ("session.created", "run.completed")
    assert screen.out.splitlines()[-2].startswith(f"completed {run.id}")
    assert screen.err.startswith("No worker was ever seen")


def test_without_a_key_the_error_names_the_setting(terminal: Terminal) -> None:
    run = terminal.in_database(life.settled_run)
    shown = terminal.type("show", run.id, "--follow")
    assert (shown.code, shown.out) == (1, "")
    assert "CASEDEV_API_KEY" in shown.err


def test_a_run_that_is_not_there_is_one_sentence(terminal: Terminal) -> None:
    shown = terminal.type("show", "nowhere", "--follow")
    assert (shown.code, shown.err) == (1, "runledger: there is no run with that id\n")
