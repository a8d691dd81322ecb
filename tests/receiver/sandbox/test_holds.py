"""Holds: what is held, what happens meanwhile, and what a release continues."""

from __future__ import annotations

import concurrent.futures
import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import anyio
import httpx2 as httpx
import pytest

from receiver.sandbox import rules
from tests import sandbox_server
from tests.patience import until
from tests.receiver.sandbox.catcher import Catcher
from tests.sandbox_server import Sandbox


@pytest.fixture
def aside() -> Iterator[concurrent.futures.ThreadPoolExecutor]:
    """Yield threads for calls that are not to be waited for yet."""
    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        yield threads


def _held(sandbox: Sandbox, count: int = 1) -> list[dict[str, Any]]:
    return until(lambda: found if len(found := sandbox.held()) == count else [])


def _ask_and_hang_up(sandbox: Sandbox, agent: str) -> None:
    """Create a run, and close the connection once the call is held."""
    body = json.dumps({"agentId": agent, "prompt": "p"}).encode()
    head = f"POST /agent/v1/run HTTP/1.1\r\nhost: sandbox\r\nauthorization: Bearer {sandbox_server.KEY}\r\n"
    at = httpx.URL(sandbox.url)
    with socket.create_connection((at.host, at.port or 80)) as connection:
        connection.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        _held(sandbox)


def test_a_held_call_begins_its_work_when_released(
    sandbox: Sandbox, api: httpx.Client, aside: concurrent.futures.ThreadPoolExecutor
) -> None:
    """Until then the run stays queued; then exec answers as ever."""
    run = sandbox_server.new_run(api, prompt="Review the lease.")
    sandbox.faults(script=[{"route": "exec", "action": "hold"}])
    answer = aside.submit(api.post, f"/agent/v1/run/{run}/exec")
    (held,) = _held(sandbox)
    assert (held["route"], held["run"], held["prompt"]) == ("exec", run, "Review the lease.")
    assert sandbox.run(run)["status"] == "queued"
    assert sandbox.release() == 1
    assert answer.result().json()["status"] == "running"
    assert (sandbox.held(), sandbox.release()) == ([], 0)


def test_a_held_answer_has_its_work_done(
    sandbox: Sandbox, api: httpx.Client, aside: concurrent.futures.ThreadPoolExecutor
) -> None:
    """The run exists while its creator still waits."""
    agent = sandbox_server.new_agent(api)
    sandbox.faults(script=[{"route": "create", "action": "hold_answer"}])
    answer = aside.submit(sandbox_server.new_run, api, agentId=agent)
    (held,) = _held(sandbox)
    assert held["body"]["agentId"] == agent
    (run,) = sandbox.runs()
    assert not answer.done()
    sandbox.release()
    assert answer.result() == run["id"]


def test_one_route_is_released_alone(
    sandbox: Sandbox, api: httpx.Client, aside: concurrent.futures.ThreadPoolExecutor
) -> None:
    """The other call waits on."""
    run = sandbox_server.new_run(api)
    sandbox.faults(script=[{"action": "hold"}])
    listed, shown = aside.submit(api.get, "/agent/v1/run"), aside.submit(api.get, f"/agent/v1/run/{run}/status")
    _held(sandbox, 2)
    assert sandbox.release("status") == 1
    assert shown.result().json()["status"] == "queued"
    assert [held["route"] for held in sandbox.held()] == ["list"]
    assert not listed.done()
    sandbox.release()


def test_a_held_call_outlasts_its_client(sandbox: Sandbox, api: httpx.Client) -> None:
    """As a delayed one does: the client gives up, and the work is done once released."""
    agent = sandbox_server.new_agent(api)
    sandbox.faults(script=[{"route": "create", "action": "hold"}])
    _ask_and_hang_up(sandbox, agent)
    until(lambda: [held for held in sandbox.held() if held["abandoned"]])
    assert sandbox.runs() == []
    sandbox.release()
    until(sandbox.runs)


def test_a_held_answer_ends_with_its_client(sandbox: Sandbox, api: httpx.Client) -> None:
    """No client is left to answer."""
    agent = sandbox_server.new_agent(api)
    sandbox.faults(script=[{"route": "create", "action": "hold_answer"}])
    _ask_and_hang_up(sandbox, agent)
    until(lambda: not sandbox.held())
    assert len(sandbox.runs()) == 1


@pytest.mark.parametrize("kind", ["callback", "event"])
def test_what_is_sent_can_be_held(sandbox: Sandbox, api: httpx.Client, receiver: Catcher, kind: str) -> None:
    """The run has ended, and nothing is sent before the release."""
    body = {"url": receiver.url, "eventTypeFilters": ["agent.run.*"]}
    sandbox.faults(script=[{"route": kind, "prompt": "lease", "action": "hold"}])
    if kind == "event":
        api.post("/webhooks/v1/endpoints", json=body).raise_for_status()
    run = sandbox_server.new_run(api, **({"callbackUrl": receiver.url} if kind == "callback" else {}))
    sandbox.finish(run)
    (held,) = _held(sandbox)
    assert (held["route"], held["run"], receiver.caught) == (kind, run, [])
    sandbox.release()
    until(lambda: receiver.caught)


@pytest.mark.parametrize("action", ["hold", "hold_answer"])
def test_it_stops_with_calls_held(action: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Their connections are cut without a word, and what was not begun is not done."""
    begun = time.monotonic()
    with sandbox_server.running() as sandbox, sandbox.client() as api:
        sandbox.faults(script=[{"route": "agents.create", "action": action}])
        failures: list[Exception] = []

        def ask() -> None:
            try:
                sandbox_server.new_agent(api)
            except httpx.TransportError as error:
                failures.append(error)

        waiting = threading.Thread(target=ask)
        waiting.start()
        _held(sandbox)
    waiting.join()
    assert len(failures) == 1
    assert capfd.readouterr() == ("", "")
    assert time.monotonic() - begun < 60


@pytest.mark.anyio
async def test_nothing_is_held_for_ever() -> None:
    """What is not released continues by itself after the longest time."""
    waiting = rules.Holds(longest=0.01)
    with anyio.fail_after(60):
        assert await waiting.wait(rules.Held("hold", rules.Subject("exec"), None))
    assert waiting.as_json() == []
