"""An upstream that hangs, and one that hands out the same id twice."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from storage import columns
from tests import sandbox_server, server


def _submit(house: server.Server, agent: str, prompt: str) -> None:
    with house.client() as client:
        assert client.post("/v1/runs", json={"agentId": agent, "prompt": prompt}).status_code == 202


def _agent(sandbox: sandbox_server.Sandbox) -> str:
    with sandbox.client() as api:
        return sandbox_server.new_agent(api)


def test_the_pause_after_a_hang_begins_when_the_hang_was_given_up(tmp_path: Path) -> None:
    timing = {"call": 0.4, "pause": 6.0, "pause_most": 6.0, "sweep": 60.0}
    with (
        sandbox_server.running(seed=1, run_seconds=0.2) as sandbox,
        server.running(tmp_path, sandbox.url, timing=timing) as house,
    ):
        agent = _agent(sandbox)
        sandbox.faults(script=[{"action": "hang:60"}])
        _submit(house, agent, "hangs")
        paused = server.until(lambda: house.rows("SELECT * FROM house WHERE paused_until IS NOT NULL"), 10)
        # Half of the six seconds at least, whatever the chance; the hang itself took eight tenths.
        left = datetime.fromisoformat(paused[0]["paused_until"]) - datetime.now(UTC)
        assert left.total_seconds() > 2.4, columns.text(datetime.now(UTC))


def test_an_upstream_that_hands_out_a_known_id_is_asked_less_and_less(tmp_path: Path) -> None:
    port = server.free_port()
    with sandbox_server.running(seed=7, run_seconds=0.1, port=port) as sandbox:
        house = server.Server(tmp_path, sandbox.url, {}, {})
        try:
            house.start()
            _submit(house, _agent(sandbox), "the first")
            server.until(lambda: house.rows("SELECT 1 FROM runs WHERE status = 'completed'"))
        finally:
            house.kill()
    with sandbox_server.running(seed=7, run_seconds=0.1, port=port) as again:
        try:
            house.start()
            _submit(house, _agent(again), "the second")
            jobs = "SELECT * FROM jobs WHERE kind = 'start' AND failures > 0"
            failing = server.until(lambda: house.rows(jobs), why="it was not told that the id is taken")
            assert "taken" in failing[0]["last_error"]
            # The next id that this upstream mints is a new one: with it the run goes its way.
            server.until(lambda: len(house.rows("SELECT 1 FROM runs WHERE status = 'completed'")) == 2)
        finally:
            house.kill()
