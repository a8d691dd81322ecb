"""A real sandbox on a real socket, in a thread of the test's process.

with sandbox_server.running(seed=1, run_seconds=0.2, faults=faults.Faults(latency=0.05)) as sandbox:
    with sandbox.client() as api:
        run = sandbox_server.new_run(api, prompt="Review the lease.")
    sandbox.faults(down=True)
    until(lambda: sandbox.run(run)["status"] == "completed")
"""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from collections.abc import Iterator
from typing import Any, TextIO, cast

import httpx2 as httpx
import uvicorn

from receiver.sandbox import app
from receiver.sandbox import faults as sandbox_faults
from tests.patience import until

KEY = "sk_case_test"
#: Loopback shows no certificates, and what would check them takes longer to make than most answers.
PLAIN: dict[str, Any] = {"trust_env": False, "verify": False, "timeout": 60}


@dataclasses.dataclass(frozen=True)
class Sandbox:
    """A running sandbox: `url` is its origin, the methods are its /sandbox routes."""

    url: str

    def client(self, key: str = KEY, **options: Any) -> httpx.Client:
        """Return a client of the API, relative to `url`; close it, or use it with `with`."""
        headers = {"authorization": f"Bearer {key}"}
        return httpx.Client(base_url=self.url, headers=headers, **PLAIN | options)

    def faults(self, **changes: Any) -> dict[str, Any]:
        """Change switches (JSON forms) while the sandbox runs; return all switches."""
        return self._ask("PUT", "/sandbox/faults", json=changes)

    def journal(self, after: int = 0) -> dict[str, Any]:
        """Return {"requests": [...], "sent": [...], "execs": {run id: successful execs}}."""
        return self._ask("GET", f"/sandbox/journal?after={after}")

    def calls(self, route: str) -> list[dict[str, Any]]:
        """Return the journal's requests of one route, oldest first."""
        return [call for call in self.journal()["requests"] if call["route"] == route]

    def sent(self, kind: str) -> list[dict[str, Any]]:
        """Return the journal's attempts at one kind (callback or event), oldest first."""
        return [sent for sent in self.journal()["sent"] if sent["kind"] == kind]

    def runs(self) -> list[dict[str, Any]]:
        """Return all runs in order of creation, with full prompt, execCount and watchers."""
        found: list[dict[str, Any]] = self._ask("GET", "/sandbox/runs")["runs"]
        return found

    def run(self, run_id: str) -> dict[str, Any]:
        return next(run for run in self.runs() if run["id"] == run_id)

    def past(self, count: int, **about: Any) -> list[str]:
        """Create runs that have ended; return their ids, oldest first. `ago` is in seconds."""
        made: list[str] = self._ask("POST", "/sandbox/runs", json={"count": count, **about})["runs"]
        return made

    def finish(self, run_id: str, status: str | None = None) -> dict[str, Any]:
        """End a live run; without a status it ends as the switches say."""
        return self._ask("POST", f"/sandbox/runs/{run_id}/finish", json={"status": status} if status else {})

    def held(self) -> list[dict[str, Any]]:
        """Return what `hold` and `hold_answer` hold now, oldest first: action, route, run, prompt, body."""
        found: list[dict[str, Any]] = self._ask("GET", "/sandbox/held")["held"]
        return found

    def release(self, route: str | None = None) -> int:
        """Release what is held now, of one route or all; return how many. Wait for `held()` before."""
        released: int = self._ask("POST", "/sandbox/release", json={"route": route} if route else {})["released"]
        return released

    def _ask(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        with httpx.Client(base_url=self.url, **PLAIN) as client:
            response = client.request(method, path, **options)
        assert response.status_code == 200, response.text
        found: dict[str, Any] = response.json()
        return found


class _Server(uvicorn.Server):
    """Stop the sandbox first, as `runledger sandbox` does, so that the server does not wait for held calls."""

    async def shutdown(self, sockets: Any = None) -> None:
        cast(app.Sandbox, self.config.app).stop()
        await super().shutdown(sockets)


@contextlib.contextmanager
def running(
    *,
    seed: int = 1,
    run_seconds: float = 0.1,
    faults: sandbox_faults.Faults = sandbox_faults.Faults(),  # noqa: B008 (frozen)
    public_only: bool = False,
    port: int = 0,
    record: TextIO | None = None,
) -> Iterator[Sandbox]:
    """Run a sandbox that listens on loopback, on a free port unless `port` is given."""
    sandbox = app.Sandbox(
        seed=seed, run_seconds=run_seconds, switches=faults, public_only=public_only, record=record
    )
    config = uvicorn.Config(
        sandbox,
        port=port,
        ws="none",
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=1,
        timeout_keep_alive=300,  # a connection that is closed while a request is sent fails the test
    )
    server = _Server(config)
    thread = threading.Thread(target=server.run, name="sandbox", daemon=True)
    thread.start()
    until(lambda: server.started or not thread.is_alive())
    assert server.started, "the sandbox did not start"
    found = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield Sandbox(f"http://127.0.0.1:{found}")
    finally:
        server.should_exit = True
        thread.join(60)
        assert not thread.is_alive(), "the sandbox did not stop"


def new_agent(api: httpx.Client, **fields: Any) -> str:
    """Create an agent; return its id."""
    body = {"name": "Legal Researcher", "instructions": "Research and report.", **fields}
    agent: str = api.post("/agent/v1/agents", json=body).raise_for_status().json()["id"]
    return agent


def new_run(api: httpx.Client, prompt: str = "Review the lease.", **fields: Any) -> str:
    """Create a queued run, of a new agent unless `agentId` is given; return its id."""
    agent = fields.pop("agentId", None) or new_agent(api)
    body = {"agentId": agent, "prompt": prompt, **fields}
    run: str = api.post("/agent/v1/run", json=body).raise_for_status().json()["id"]
    return run
