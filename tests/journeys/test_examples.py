"""The programs in examples/ work against the real server and the sandbox, over sockets."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from tests import sandbox_server, server
from tests.laws import pages
from tests.patience import until

EXAMPLES = pages.ROOT / "examples"
SECRET = "whsec_" + "c2VjcmV0IG9mIHRoZSBleGFtcGxlcyBpbiB0aGUgdGVzdHM="


@pytest.fixture(scope="module")
def sandbox() -> Iterator[sandbox_server.Sandbox]:
    with sandbox_server.running(run_seconds=0.2) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def backend_port() -> int:
    return server.free_port()


@pytest.fixture(scope="module")
def ledger(
    sandbox: sandbox_server.Sandbox, backend_port: int, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[server.Server]:
    settings = {
        "notify_url": f"http://127.0.0.1:{backend_port}/hooks/runs",
        "notify_secrets": SECRET,
        "notify_allow_private": True,
    }
    started = server.Server(server.Site(tmp_path_factory.mktemp("ledger")), sandbox.url, {}, settings)
    started.start()
    yield started
    started.kill()


@pytest.fixture(scope="module")
def agent(sandbox: sandbox_server.Sandbox) -> str:
    with sandbox.client() as upstream:
        return sandbox_server.new_agent(upstream)


def _environment(ledger: server.Server) -> dict[str, str]:
    return os.environ | {"LEDGER_URL": ledger.url, "LEDGER_KEY": ledger.key, "NOTIFY_SECRET": SECRET}


@contextmanager
def _serving(ledger: server.Server, port: int, folder: Path) -> Iterator[httpx.Client]:
    words = [
        sys.executable,
        "-m",
        "uvicorn",
        "--app-dir",
        str(EXAMPLES),
        "fastapi_backend:app",
        "--port",
        str(port),
    ]
    process = subprocess.Popen(words, cwd=folder, env=_environment(ledger), stdout=subprocess.DEVNULL)
    try:
        until(lambda: process.poll() is not None or server.listens(port))
        assert process.poll() is None, "the backend did not start"
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", **sandbox_server.PLAIN) as client:
            yield client
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def backend(
    ledger: server.Server, backend_port: int, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx.Client]:
    with _serving(ledger, backend_port, tmp_path_factory.mktemp("backend")) as client:
        yield client


def test_the_backend_submits_a_run_and_is_notified_of_its_end(backend: httpx.Client, agent: str) -> None:
    review = {"id": "1", "agent": agent, "question": "Review the lease."}
    first, again = (backend.post("/reviews", json=review) for _ in range(2))
    assert (first.status_code, first.json()) == (202, again.json())

    def ended() -> Any:
        shown = backend.get("/reviews/1").json()
        return shown if shown["status"] not in ("submitted",) else None

    shown = until(ended, why="no notification arrived") or {}
    assert shown["status"] == "completed"
    assert shown["output"]


def test_the_backend_refuses_a_notification_that_is_not_signed(backend: httpx.Client) -> None:
    forged = {"type": "run.completed", "data": {"id": "x", "status": "failed", "tags": {"review": "2"}}}
    headers = {"webhook-id": "forged", "webhook-timestamp": "0", "webhook-signature": "v1,AAAA"}
    assert backend.post("/hooks/runs", json=forged, headers=headers).status_code == 401
    assert backend.get("/reviews/2").status_code == 404


def _type(ledger: server.Server, *arguments: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, str(EXAMPLES / "submit_and_wait.py"), *arguments]
    return subprocess.run(
        words, env=_environment(ledger), capture_output=True, text=True, timeout=120, check=False
    )


def test_the_script_waits_for_the_output_of_its_run(ledger: server.Server, agent: str) -> None:
    done = _type(ledger, agent, "Summarize the depositions.")
    assert done.returncode == 0, done.stderr
    outputs = ledger.rows("SELECT output FROM runs WHERE prompt = ?", "Summarize the depositions.")
    assert outputs == [{"output": done.stdout.rstrip("\n")}]


def test_the_script_says_what_the_server_refused(ledger: server.Server) -> None:
    done = _type(ledger, "no agent at all!", "Summarize the depositions.")
    assert done.returncode == 1
    assert "422: the body is not what this operation takes: #/agentId" in done.stderr


@pytest.mark.parametrize("number", range(3))
def test_the_code_of_the_guide_to_the_client_works(ledger: server.Server, agent: str, number: int) -> None:
    code = pages.blocks("guides/client.md", "python")[number]
    named = {"RUNLEDGER_URL": ledger.url, "RUNLEDGER_API_KEY": ledger.key, "AGENT": agent}
    words = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(words, env=os.environ | named, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    shown = ("completed", "404 not-found there is no run with that id", "run.completed")[number]
    assert shown in done.stdout
