"""An upstream that hangs, and one that hands out the same id twice."""

from __future__ import annotations

from datetime import timedelta

import httpx2 as httpx
import pytest

from receiver import errors
from receiver.worker.tasks import failures
from storage import states
from storage.engine.database import Database
from storage.repositories import system_state
from tests import life, sandbox_server, server
from tests.journeys import upstreams
from tests.patience import until


def _submit(ours: server.Server, agent: str, prompt: str) -> None:
    with ours.client() as client:
        assert client.post("/v1/runs", json={"agentId": agent, "prompt": prompt}).status_code == 202


def _agent(sandbox: sandbox_server.Sandbox) -> str:
    with sandbox.client() as api:
        return sandbox_server.new_agent(api)


@pytest.mark.anyio
async def test_the_pause_after_a_hang_begins_when_the_hang_was_given_up(database: Database) -> None:
    moments = [life.NOW]

    def hang(_request: httpx.Request) -> httpx.Response:
        moments.append(moments[-1] + timedelta(minutes=5))
        raise httpx.ReadTimeout("nothing came")

    run = await life.accepted(database)
    claim = await life.claimed(database, states.Kind.START, run.id)
    async with upstreams.answering(database, hang, now=lambda: moments[-1]) as context:
        await failures.handle_failure(
            context, claim, errors.UpstreamUnreachable("POST /agent/v1/run", "nothing came")
        )
    paused_until = (await database.read(system_state.read)).paused_until
    assert paused_until is not None
    assert paused_until > moments[-1] > life.NOW


@pytest.mark.anyio
async def test_the_last_call_of_the_upstreams_window_holds_everybody_until_the_next(database: Database) -> None:
    async with upstreams.answering(database, lambda _: httpx.Response(500), now=lambda: life.NOW) as context:
        for left, paused_until in (("1", None), ("0", life.at(30))):
            limits = {"x-ratelimit-remaining": left, "x-ratelimit-reset": "30"}
            context.telemetry.called("list", 200, 0.1, limits, life.NOW)
            await failures.handle_success(context)
            assert (await database.read(system_state.read)).paused_until == paused_until


def test_an_upstream_that_hands_out_a_known_id_is_asked_less_and_less(site: server.Site) -> None:
    port = server.free_port()
    with sandbox_server.running(seed=7, run_seconds=0.1, port=port) as sandbox:
        ours = server.Server(site, sandbox.url, {}, {})
        try:
            ours.start()
            _submit(ours, _agent(sandbox), "the first")
            until(lambda: ours.rows("SELECT 1 FROM runs WHERE status = 'completed'"))
        finally:
            ours.kill()
    with sandbox_server.running(seed=7, run_seconds=0.1, port=port) as again:
        try:
            ours.start()
            _submit(ours, _agent(again), "the second")
            jobs = "SELECT * FROM jobs WHERE kind = 'start' AND failures > 0"
            failing = until(lambda: ours.rows(jobs), why="it was not reported that the id is taken")
            assert "taken" in failing[0]["last_error"]
            # The next id that this upstream mints is a new one: with it the run goes its way.
            until(lambda: len(ours.rows("SELECT 1 FROM runs WHERE status = 'completed'")) == 2)
        finally:
            ours.kill()
