"""The parts of every journey: the sandbox, the real server, and the calls of a backend.

with harness.opened(site, timing={"sweep": 0.3}, public_url="") as deployment:
    run = deployment.submit(nonce)
    deployment.until_run(run, "completed")
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx2 as httpx

from receiver.sandbox import faults
from tests import sandbox_server
from tests.patience import until
from tests.server import Bounds, Server, Site

Row = dict[str, Any]
Rule = Mapping[str, object]

#: A secret that is still listed, as during a rotation.
FORMER_SECRET = "whsec_" + base64.b64encode(b"the key of the secret before this").decode()
#: The reason of readiness while the upstream fails.
AWAY = "the upstream is not asked now"
#: Longer than any journey.
NEVER = 300.0
#: The switches of a shared deployment without faults: watchers are called, platform events are off.
NO_FAULTS = faults.Faults(event_states=(), retry_backoff=0.1)


@dataclass(frozen=True)
class Deployment:
    """`api` is a backend's client of the server, `upstream` a client of the sandbox's own API."""

    server: Server
    sandbox: sandbox_server.Sandbox
    api: httpx.Client
    upstream: httpx.Client
    agent: str
    secret: str

    def restart(self) -> None:
        """Start the server again with the same settings."""
        self.server.start(webhook_secrets=secrets_of(self.secret))

    def submit(self, nonce: str, *, key: str | None = None, **fields: Any) -> Row:
        """Submit a run whose prompt has the nonce; return the answer, which has status 202 or 200."""
        body = {"agentId": self.agent, "prompt": f"Review the lease. {nonce}", **fields}
        headers = {} if key is None else {"Idempotency-Key": key}
        return self._record(self.api.post("/v1/runs", json=body, headers=headers), 202, 200)

    def adopt(self, upstream_id: str) -> Row:
        return self._record(self.api.post("/v1/watch", json={"runId": upstream_id}), 202, 200)

    def cancel(self, run: Row, status: int = 202) -> Row:
        return self._record(self.api.post(f"/v1/runs/{run['id']}/cancel"), status)

    def refresh(self, run: Row) -> Row:
        return self._record(self.api.post(f"/v1/runs/{run['id']}/refresh"), 202)

    def run(self, run: Row) -> Row:
        """Return the run as the API shows it now."""
        return self._record(self.api.get(f"/v1/runs/{run['id']}"), 200)

    def until_run(self, run: Row, *status: str) -> Row:
        """Wait until the run is in one of these states; return it."""

        why = f"the run did not become {' or '.join(status)}"
        return self.until_shown(run, lambda shown: shown["status"] in status, why)

    def until_shown(self, run: Row, holds: Callable[[Row], object], why: str = "it was never shown so") -> Row:
        """Wait until a condition holds for the run; return it."""
        until(lambda: holds(self.run(run)), why)
        return self.run(run)

    def _record(self, response: httpx.Response, *expected: int) -> Row:
        assert response.status_code in expected, response.text
        record: Row = response.json()
        return record

    def script(self, *rules: Rule) -> None:
        """Replace the sandbox's fault rules by these."""
        self.sandbox.faults(script=list(rules))

    def until_held(self, route: str, nonce: str) -> None:
        """Wait until the sandbox holds a call of this nonce, by `hold` or `hold_answer`."""
        until(lambda: self._held(route, nonce), why=f"no call of {route} was held")

    def release(self, route: str) -> None:
        """Release the held calls of a route, and wait until none is held."""
        self.sandbox.release(route)
        until(lambda: all(each["route"] != route for each in self.sandbox.held()))

    def _held(self, route: str, nonce: str) -> bool:
        return any(
            each["route"] == route and nonce in f"{each['prompt']} {each['body']}" for each in self.sandbox.held()
        )

    def named(self, nonce: str) -> list[Row]:
        """Return the upstream runs of a nonce, oldest first."""
        return [run for run in self.sandbox.runs() if nonce in run["prompt"]]

    def until_named(self, nonce: str, status: str | None = None) -> Row:
        """Wait until the oldest upstream run of a nonce exists and has that state; return it."""

        def look() -> list[Row]:
            return [run for run in self.named(nonce) if status in (None, run["status"])]

        return until(look, why=f"no run of that nonce became {status or 'known'} upstream")[0]

    def elsewhere(self, nonce: str, **fields: Any) -> str:
        """Create a run upstream without the server; return its upstream id."""
        prompt = f"Review the lease. {nonce}"
        return sandbox_server.new_run(self.upstream, prompt=prompt, agentId=self.agent, **fields)

    def execute(self, upstream_id: str) -> None:
        """Execute a run upstream without the server."""
        self.upstream.post(f"/agent/v1/run/{upstream_id}/exec").raise_for_status()

    def callback(self, nonce: str) -> str:
        """Return the callback address of a run."""
        return str(self.until_named(nonce)["watchers"][0])

    def calls(self, route: str, nonce: str) -> list[Row]:
        """Return the calls of one route that named one of the nonce's runs, or its prompt."""
        ids = {run["id"] for run in self.named(nonce)}
        return [call for call in self.sandbox.calls(route) if call["run"] in ids or nonce in str(call["body"])]

    def ready(self) -> tuple[int, list[str]]:
        """Return status and reasons of the readiness; no reasons where the database did not answer in time."""
        answer = self.api.get("/readyz")
        return answer.status_code, answer.json().get("reasons", [])

    def is_unready(self, because: str = AWAY) -> bool:
        """Return whether a reason with these words makes it not ready; a late heartbeat is another one."""
        status, reasons = self.ready()
        return status == 503 and any(because in reason for reason in reasons)

    def until_unready(self, because: str = AWAY) -> None:
        """Wait until it is not ready for a reason with these words."""
        until(lambda: self.is_unready(because), why="readiness gave no such reason")

    def judge_ready(self) -> None:
        """Check that the upstream is called, and wait until the deployment is ready."""
        assert not self.is_unready()
        until(lambda: self.ready() == (200, []), why="it is not ready")

    def ledger_kinds(self, run: Row) -> list[str]:
        """Return the kinds of a run's ledger entries, in order."""
        rows = self.server.rows("SELECT kind FROM ledger_entries WHERE run_id = ? ORDER BY seq", run["id"])
        return [row["kind"] for row in rows]

    def deliveries(self, run: Row) -> list[Row]:
        """Return the deliveries of a run, oldest first."""
        return self.server.rows("SELECT * FROM deliveries WHERE run_id = ? ORDER BY seq", run["id"])


@contextmanager
def opened(
    site: Site,
    *,
    timing: dict[str, Any] | None = None,
    switches: faults.Faults = NO_FAULTS,
    run_seconds: float = 0.1,
    public_only: bool = False,
    bounds: Bounds | None = None,
    through: Callable[[str], str] = str,
    **settings: Any,
) -> Iterator[Deployment]:
    """Start a server and its sandbox, which signs events with the secret that the server has.

    With `public_only` the sandbox takes neither callback addresses nor webhook endpoints on loopback. `through`
    turns the sandbox's address into the one that the server gets.
    """
    with (
        sandbox_server.running(run_seconds=run_seconds, faults=switches, public_only=public_only) as sandbox,
        sandbox.client() as upstream,
    ):
        timed = {"sweep": NEVER} | (timing or {})
        server = Server(site, through(sandbox.url), timed, settings, bounds)
        secret = "" if public_only else register(upstream, server)
        agent = sandbox_server.new_agent(upstream)
        try:
            server.start(webhook_secrets=secrets_of(secret))
            with server.client() as api:
                yield Deployment(server, sandbox, api, upstream, agent, secret)
        except BaseException:
            print(server.log.read_text() if server.log.exists() else "")
            raise
        finally:
            server.kill()


T = TypeVar("T")


@contextmanager
def shared(
    sites: Callable[[str], Site], make: Callable[[Site], AbstractContextManager[T]]
) -> Iterator[Callable[[str], T]]:
    """Share deployments between journeys, one per kind of database, made when a journey first requests it."""
    with ExitStack() as stack:
        made: dict[str, T] = {}

        def of(kind: str) -> T:
            if kind not in made:
                made[kind] = stack.enter_context(make(sites(kind)))
            return made[kind]

        yield of


def secrets_of(secret: str) -> str:
    """Return the setting of a server during a rotation; empty where there is no secret."""
    return f"{secret} {FORMER_SECRET}" if secret else ""


def register(upstream: httpx.Client, server: Server) -> str:
    """Create a webhook endpoint for the server; return its signing secret."""
    wanted = {"url": f"{server.url}/webhooks/case", "eventTypeFilters": ["agent.run.*"]}
    made = upstream.post("/webhooks/v1/endpoints", json=wanted).raise_for_status()
    return str(made.json()["signingSecret"])
