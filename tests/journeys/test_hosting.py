"""The programs of the guides, run as they say: a backend next to Runledger, and backends that have it mounted."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from tests import sandbox_server, server
from tests.journeys import harness
from tests.journeys.conftest import Sites
from tests.laws import pages
from tests.patience import until

ROOT = Path(__file__).parent.parent.parent
PROGRAMS = {
    name: (program, options.split())
    for program, name, options in re.findall(
        r"```python\n(# [^\n]*uvicorn (\w+):app --port 8000([^\n]*)\n.*?)```",
        "".join(pages.text(f"guides/{guide}.md") for guide in ("submit", "embedding")),
        re.DOTALL,
    )
}


@dataclass(frozen=True)
class Host:
    """A backend's process, with Runledger mounted in it or next to it; `ledger` is a client of Runledger."""

    process: subprocess.Popen[bytes]
    backend: httpx.Client
    ledger: httpx.Client
    behind: server.Server
    sandbox: sandbox_server.Sandbox
    agent: str

    @property
    def path(self) -> str:
        """Where Runledger is mounted; empty at the root."""
        return self.ledger.base_url.path.rstrip("/")

    def ask(self, review: str) -> str:
        """Asks the backend for a review; our id of the run that it handed in."""
        wanted = {"id": review, "agent": self.agent, "question": f"Review {review}.", "matter": "0042"}
        answer = self.backend.post("/reviews", json=wanted)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["run"])

    def until(self, run: str, status: str) -> harness.Row:
        """The record of a run once it is in that state."""

        def look() -> harness.Row | None:
            shown: harness.Row = self.ledger.get(f"/v1/runs/{run}").raise_for_status().json()
            return shown if shown["status"] == status else None

        return until(look, why=f"the run did not become {status}") or {}


#: A plain uvicorn closes a connection that rests for 5 s, perhaps while the next request is sent.
ONCE: dict[str, Any] = {"limits": httpx.Limits(max_keepalive_connections=0), "timeout": 60}


@contextmanager
def hosted(name: str, site: server.Site) -> Iterator[Host]:
    """A program of the guides in a process of its own; runs go on until the sandbox ends them."""
    program, options = PROGRAMS[name]
    folder = site.folder
    (folder / f"{name}.py").write_text(program)
    port = server.free_port()
    url = f"http://127.0.0.1:{port}"
    with sandbox_server.running(run_seconds=harness.NEVER) as sandbox, sandbox.client() as upstream:
        behind = server.Server(site, sandbox.url, {"sweep": harness.NEVER}, {})
        if name == "beside":
            behind.start()
        below = behind.url if name == "beside" else f"{url}/runledger"
        environment = {each: value for each, value in os.environ.items() if not each.startswith("RUNLEDGER_")} | {
            "PYTHONPATH": str(ROOT),
            "CASEDEV_API_KEY": sandbox_server.KEY,
            "CASEDEV_BASE_URL": sandbox.url,
            **site.environment,
            "RUNLEDGER_PUBLIC_URL": below,
            "LEDGER_URL": behind.url,
            "LEDGER_KEY": behind.key,
        }
        words = [sys.executable, "-m", "uvicorn", f"{name}:app", "--port", str(port), *options]
        log, key = folder / "host.log", {"Authorization": f"Bearer {behind.key}"}
        with log.open("wb") as out, httpx.Client(base_url=below, headers=key, **ONCE) as ledger:
            process = subprocess.Popen(words, cwd=folder, env=environment, stdout=out, stderr=out)
            try:
                with httpx.Client(base_url=url, **ONCE) as backend:
                    until(lambda: process.poll() is not None or _answers(backend))
                    assert process.poll() is None, "the host did not start"
                    yield Host(process, backend, ledger, behind, sandbox, sandbox_server.new_agent(upstream))
            finally:
                process.kill()
                process.wait()
                behind.kill()
                print(log.read_text())


def _answers(backend: httpx.Client) -> bool:
    try:
        return backend.get("/").status_code == 404
    except httpx.TransportError:
        return False


@pytest.fixture(scope="module", params=PROGRAMS)
def hosts(request: pytest.FixtureRequest, sites: Sites) -> Iterator[Callable[[str], Host]]:
    """Each backend of the guides."""
    with harness.shared(sites, lambda site: hosted(request.param, site)) as running:
        yield running


@pytest.fixture
def host(hosts: Callable[[str], Host], kind: str) -> Host:
    return hosts(kind)


def test_the_guides_have_an_example_of_each_way() -> None:
    assert set(PROGRAMS) == {"beside", "mounted", "mounted_fastapi"}


def test_a_run_of_the_backend_is_called_back_and_settled(host: Host) -> None:
    run, again = host.ask("1"), host.ask("1")
    assert run == again
    upstream = host.until(run, "running")["upstreamId"]
    host.sandbox.finish(upstream)
    assert host.until(run, "completed")["output"]
    (address,) = host.sandbox.run(upstream)["watchers"]
    assert httpx.URL(address).path.startswith(f"{host.path}/callbacks/")
    taken = host.behind.rows("SELECT verdict FROM deliveries WHERE run_id = ? AND source = 'watcher'", run)
    assert {"verdict": "accepted"} in taken


def test_addresses_that_are_answered_hold_wherever_it_is_mounted(host: Host) -> None:
    ledger, path = host.ledger, host.path
    body = {"agentId": host.agent, "prompt": "Find every force majeure clause."}
    older, newer = (ledger.post("/v1/runs", json=body) for _ in range(2))
    assert older.headers["location"] == f"{path}/v1/runs/{older.json()['id']}"
    link = ledger.get("/v1/runs", params={"limit": 1, "sort": "accepted"}).links["next"]["url"]
    assert link.startswith(f"{path}/v1/runs?limit=1&sort=accepted&cursor=")
    for followed in (newer.headers["location"], link):
        assert ledger.get(ledger.base_url.join(followed)).status_code == 200
    assert ledger.get("/openapi.json").json().get("servers", [{"url": ""}]) == [{"url": path}]
    until(lambda: ledger.get("/readyz").status_code == 200)


def test_errors_are_problems_wherever_it_is_mounted(host: Host, subtests: pytest.Subtests) -> None:
    for method, path, status in [
        ("GET", "/v1/nothing", 404),
        ("GET", "/nothing", 404),
        ("GET", "/healthz/", 404),
        ("DELETE", "/v1/runs", 405),
        ("GET", "/callbacks/token", 405),
        ("GET", "/webhooks/case", 405),
        ("POST", "/callbacks/forged", 404),
        ("GET", "/v1/runs?limt=1", 400),
    ]:
        with subtests.test(f"{method} {path}"):
            answer = host.ledger.request(method, path)
            assert answer.status_code == status
            assert answer.headers["content-type"] == "application/problem+json"


def test_a_host_that_stops_answers_waiting_callers_and_lets_the_worker_drain(site: server.Site) -> None:
    answers: list[httpx.Response] = []
    with hosted("mounted", site) as host:
        body = {"agentId": host.agent, "prompt": "Find every force majeure clause."}

        def wait() -> None:
            answers.append(host.ledger.post("/v1/runs", json=body, headers={"Prefer": "wait=60"}, timeout=90))

        waiting = threading.Thread(target=wait)
        waiting.start()
        until(lambda: host.sandbox.calls("exec"))
        host.process.send_signal(signal.SIGTERM)
        waiting.join(60)
        # uvicorn takes the signal a second time once all has ended well.
        assert host.process.wait(60) in (0, -signal.SIGTERM)
        (running,) = host.behind.rows("SELECT status FROM runs")
        (held,) = host.behind.rows("SELECT count(*) AS held FROM jobs WHERE lease_until IS NOT NULL")
    (answer,) = answers
    # A waiting caller is answered at once, exec perhaps a moment later.
    assert (answer.status_code, answer.json()["status"] in ("queued", "running")) == (202, True)
    assert (running["status"], held["held"]) == ("running", 0)
