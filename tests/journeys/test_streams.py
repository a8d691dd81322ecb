"""Listening to a run through the server, with a parser that we did not write; and capturing what was said."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import httpx2 as httpx
import pytest

from receiver.sandbox import faults
from tests import sandbox_server
from tests.journeys import harness
from tests.journeys.conftest import Deployments, Sites
from tests.patience import until
from tests.server import Server, Site

#: What the journal calls the upstream's stream.
EVENTS = "events"


@contextlib.contextmanager
def opened(
    deployment: harness.Deployment, run: harness.Row, after: str | None = None
) -> Iterator[Iterator[httpx.ServerSentEvent]]:
    headers = {} if after is None else {"Last-Event-ID": after}
    with deployment.api.stream("GET", f"/v1/runs/{run['id']}/events", headers=headers) as response:
        assert response.status_code == 200, response.read()
        yield iter(httpx.EventSource(response))


def read(
    deployment: harness.Deployment, run: harness.Row, after: str | None = None
) -> list[httpx.ServerSentEvent]:
    with opened(deployment, run, after) as events:
        return list(events)


def upstream(deployment: harness.Deployment, nonce: str) -> list[httpx.ServerSentEvent]:
    """What the upstream itself replays of a nonce's run."""
    with deployment.upstream.stream(
        "GET", f"/agent/v1/run/{deployment.until_named(nonce)['id']}/events"
    ) as response:
        return list(httpx.EventSource(response))


class Listener(threading.Thread):
    """A listener that reads until the close event."""

    def __init__(self, deployment: harness.Deployment, run: harness.Row) -> None:
        super().__init__(daemon=True)
        self._deployment, self._run = deployment, run
        self.heard: list[httpx.ServerSentEvent] = []

    def run(self) -> None:
        with opened(self._deployment, self._run) as events:
            for event in events:
                self.heard.append(event)


def test_many_listeners_receive_a_run_through_one_upstream_stream(
    slow_deployment: harness.Deployment, nonce: str
) -> None:
    run = slow_deployment.submit(nonce)
    slow_deployment.until_named(nonce, "running")
    listeners = [Listener(slow_deployment, run) for _ in range(6)]
    for each in listeners:
        each.start()
    until(lambda: all(each.heard for each in listeners), why="not everybody heard the beginning")
    assert len(slow_deployment.calls(EVENTS, nonce)) == 1
    slow_deployment.sandbox.finish(slow_deployment.until_named(nonce)["id"], "completed")
    for each in listeners:
        each.join(60)
    heard = listeners[0].heard
    assert all(each.heard == heard for each in listeners)
    assert len(slow_deployment.calls(EVENTS, nonce)) == 1
    assert heard == upstream(slow_deployment, nonce)
    assert [event.event for event in heard[-2:]] == ["run.completed", "close"]


def test_a_listener_that_was_cut_off_resumes_after_the_last_event(
    slow_deployment: harness.Deployment, nonce: str
) -> None:
    run = slow_deployment.submit(nonce)
    slow_deployment.until_named(nonce, "running")
    with opened(slow_deployment, run) as events:
        first = [next(events), next(events)]
    slow_deployment.sandbox.finish(slow_deployment.until_named(nonce)["id"], "failed")
    assert first + read(slow_deployment, run, first[-1].id) == upstream(slow_deployment, nonce)


def test_a_stream_that_is_requested_early_begins_with_its_run(
    slow_deployment: harness.Deployment, nonce: str
) -> None:
    slow_deployment.script({"route": "exec", "prompt": nonce, "times": 1, "action": "hold"})
    run = slow_deployment.submit(nonce)
    slow_deployment.until_held("exec", nonce)
    listener = Listener(slow_deployment, run)
    listener.start()
    until(lambda: slow_deployment.calls(EVENTS, nonce), why="the stream was not opened")
    assert listener.heard == []
    slow_deployment.release("exec")
    until(lambda: listener.heard, why="the run began unheard")
    slow_deployment.sandbox.finish(slow_deployment.until_named(nonce)["id"], "completed")
    listener.join(60)
    assert listener.heard == upstream(slow_deployment, nonce)


def test_an_upstream_without_a_stream_is_reported_and_nothing_else_suffers(
    slow_deployment: harness.Deployment, nonce: str
) -> None:
    run = slow_deployment.submit(nonce)
    slow_deployment.until_named(nonce, "running")
    slow_deployment.script({"route": EVENTS, "action": "status:500"})
    answer = slow_deployment.api.get(f"/v1/runs/{run['id']}/events")
    assert (answer.status_code, answer.headers["content-type"]) == (502, "application/problem+json")
    slow_deployment.judge_ready()
    slow_deployment.sandbox.finish(slow_deployment.until_named(nonce)["id"], "completed")
    slow_deployment.until_run(run, "completed")


@pytest.fixture(scope="module")
def captured(sites: Sites) -> Iterator[Deployments]:
    """A server that captures every stream, and does one job at a time."""

    def make(site: Site) -> AbstractContextManager[harness.Deployment]:
        return harness.opened(
            site, timing={"capture_idle": harness.NEVER}, capture_events=True, worker_concurrency=1
        )

    with harness.shared(sites, make) as made:
        yield made


@pytest.fixture
def capturing(captured: Deployments, kind: str) -> Iterator[harness.Deployment]:
    """The capturing server on a good day."""
    opened = captured(kind)
    yield opened
    opened.sandbox.faults(**faults.as_json(harness.NO_FAULTS))


def until_captured(deployment: harness.Deployment, run: harness.Row) -> harness.Row:
    return deployment.until_shown(run, lambda shown: shown["capturedAt"], why="the stream was not captured")


def test_a_captured_stream_is_replayed_without_the_upstream(capturing: harness.Deployment, nonce: str) -> None:
    run = capturing.submit(nonce)
    assert until_captured(capturing, run)["captureNote"] is None
    calls = len(capturing.calls(EVENTS, nonce))
    again = read(capturing, run)
    assert len(capturing.calls(EVENTS, nonce)) == calls
    assert again == upstream(capturing, nonce)
    assert read(capturing, run, again[4].id) == again[5:]


@pytest.mark.parametrize(
    "switches",
    [{"stream_cut_after": 8}, {"stream_repeats": 1, "stream_junk": True}, {"stream_stays_open": True}],
)
def test_however_the_stream_breaks_it_is_captured_whole(
    capturing: harness.Deployment, nonce: str, switches: dict[str, Any]
) -> None:
    capturing.sandbox.faults(**switches)
    run = capturing.submit(nonce)
    until_captured(capturing, run)
    capturing.sandbox.faults(**faults.as_json(harness.NO_FAULTS))
    assert read(capturing, run) == upstream(capturing, nonce)


def test_a_stream_that_is_gone_is_noted_and_delays_nothing(capturing: harness.Deployment, nonce: str) -> None:
    capturing.script({"route": EVENTS, "prompt": nonce, "action": "status:404"})
    run = capturing.submit(nonce)
    assert until_captured(capturing, run)["captureNote"] == "the upstream has no such stream"
    assert [event.event for event in read(capturing, run)] == ["close"]
    capturing.judge_ready()


def test_a_capture_that_stalls_blocks_nothing_else(capturing: harness.Deployment, nonce: str) -> None:
    capturing.script({"route": EVENTS, "prompt": nonce, "times": 1, "action": "hold"})
    stalled = capturing.submit(nonce)
    capturing.until_held(EVENTS, nonce)
    for other in (capturing.submit(f"{nonce[::-1]} {number}") for number in range(3)):
        capturing.until_run(other, "completed")
    capturing.judge_ready()
    assert capturing.run(stalled)["capturedAt"] is None
    capturing.release(EVENTS)
    until_captured(capturing, stalled)


def test_what_one_run_is_denied_is_no_reason_to_pause_the_deployment(
    capturing: harness.Deployment, nonce: str
) -> None:
    capturing.script({"route": EVENTS, "prompt": nonce, "action": "status:401"})
    run = capturing.submit(nonce)
    until(lambda: len(capturing.calls(EVENTS, nonce)) > 2, why="it was not tried again")
    assert capturing.run(run)["capturedAt"] is None
    jobs = capturing.api.get("/v1/jobs", params={"run": run["id"]}).json()["jobs"]
    assert [(job["kind"], job["state"] in ("failing", "leased")) for job in jobs] == [("capture", True)]
    capturing.until_run(capturing.submit(nonce[::-1]), "completed")
    capturing.script()
    until_captured(capturing, run)


@pytest.mark.parametrize(
    "point", ["before commit store_events", "after commit store_events", "after commit complete_capture"]
)
def test_a_kill_in_the_middle_of_a_capture_loses_and_duplicates_nothing(
    site: Site, nonce: str, point: str
) -> None:
    with sandbox_server.running(faults=faults.Faults(stream_cut_after=9)) as sandbox, sandbox.client() as api:
        server = Server(site, sandbox.url, {}, {"capture_events": True})
        try:
            server.start(kill=point)
            agent = sandbox_server.new_agent(api)
            with server.client() as backend:
                body = {"agentId": agent, "prompt": nonce}
                backend.post("/v1/runs", json=body).raise_for_status()
            until(server.is_dead, why="it was not killed")
            server.start()
            until(lambda: server.rows("SELECT 1 FROM runs WHERE captured_at IS NOT NULL AND capture_note IS NULL"))
            stored = server.rows("SELECT event_id, type, data FROM run_events ORDER BY seq")
        finally:
            server.kill()
        sandbox.faults(stream_cut_after=0)
        with api.stream("GET", f"/agent/v1/run/{sandbox.runs()[0]['id']}/events") as response:
            *events, _close = httpx.EventSource(response)
    assert [(row["event_id"], row["type"]) for row in stored] == [(int(each.id), each.event) for each in events]
    assert [json.loads(row["data"]) for row in stored] == [each.json() for each in events]


def test_listeners_of_a_server_that_stops_are_asked_to_reconnect(site: Site, nonce: str) -> None:
    with harness.opened(site, run_seconds=harness.NEVER) as deployment:
        run = deployment.submit(nonce)
        deployment.until_named(nonce, "running")
        with deployment.api.stream("GET", f"/v1/runs/{run['id']}/events") as response:
            lines = response.iter_lines()
            assert next(lines).startswith("id: ")
            deployment.server.stop()
            rest = list(lines)
    assert ": the server stops: connect again" in rest
    assert "event: close" not in rest
