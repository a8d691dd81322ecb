"""A server that takes requests, and a worker without a server: two commands at one database."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from tests import postgres, sandbox_server
from tests.server import Server, Site, free_port

ROOT = Path(__file__).parent.parent.parent


@contextmanager
def typed(site: Site, *words: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """A command at a site, in a process of its own."""
    kept = {name: each for name, each in os.environ.items() if not name.startswith(("RUNLEDGER_", "CASEDEV_"))}
    variables = {**kept, "PYTHONPATH": str(ROOT), **site.environment, **environment}
    call = [sys.executable, "-W", "error", "-m", "receiver", *words]
    pipe = subprocess.PIPE
    with subprocess.Popen(call, cwd=site.folder, env=variables, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def announced(process: subprocess.Popen[str]) -> dict[str, Any]:
    """Its log line once it is at work."""
    assert process.stdout is not None
    line: dict[str, Any] = json.loads(process.stdout.readline())
    return line


@pytest.fixture
def upstream() -> Iterator[sandbox_server.Sandbox]:
    with sandbox_server.running(run_seconds=0.2) as sandbox:
        yield sandbox


def settings(sandbox: sandbox_server.Sandbox, port: int = 0) -> dict[str, str]:
    public = {"RUNLEDGER_PUBLIC_URL": f"http://127.0.0.1:{port}"} if port else {}
    return {"CASEDEV_BASE_URL": sandbox.url, "CASEDEV_API_KEY": sandbox_server.KEY, **public}


@pytest.mark.parametrize("kind", ["postgresql"])
def test_what_a_server_takes_a_worker_apart_from_it_carries_out(
    site: Site, upstream: sandbox_server.Sandbox, nonce: str
) -> None:
    port = free_port()
    ours = settings(upstream, port)
    behind = Server(site, upstream.url, {}, {})  # for its key
    with typed(site, "serve", "--no-worker", "--port", str(port), "--json", **ours) as serving:
        assert announced(serving)["worker"] is False
        with typed(site, "work", "--json", **ours) as working, upstream.client() as api:
            assert "postgresql" in announced(working)["data"]
            body = {"agentId": sandbox_server.new_agent(api), "prompt": nonce}
            headers = {"Authorization": f"Bearer {behind.key}", "Prefer": "wait=60"}
            url = f"http://127.0.0.1:{port}/v1/runs"
            settled = httpx.post(url, json=body, headers=headers, timeout=90).json()
            working.send_signal(signal.SIGTERM)
            assert working.wait(60) == 0
        serving.send_signal(signal.SIGTERM)
        assert serving.wait(60) == 0
    assert (settled["status"], settled["settledBy"]) == ("completed", "watcher")


@pytest.mark.parametrize("kind", ["sqlite"])
def test_on_one_file_a_worker_apart_and_a_server_exclude_each_other(
    site: Site, upstream: sandbox_server.Sandbox
) -> None:
    ours = settings(upstream)
    with typed(site, "serve", "--no-worker", "--port", "0", "--json", **ours) as serving:
        announced(serving)
        with typed(site, "work", **ours) as working:
            _, said = working.communicate(timeout=60)
        assert working.returncode == 1
        assert "allows one `runledger serve` or `runledger work`; several need PostgreSQL" in said
        assert said.count("\n") == 1
    with typed(site, "work", "--json", **ours) as working:
        announced(working)
        with typed(site, "serve", "--port", "0", **ours) as second:
            assert "another Runledger server" in second.communicate(timeout=60)[1]


def test_an_empty_database_server_has_to_be_migrated_first(
    cluster: postgres.Cluster, tmp_path: Path, upstream: sandbox_server.Sandbox
) -> None:
    site = Site(tmp_path, cluster.fresh("template0"))
    with typed(site, "serve", "--port", "0", **settings(upstream)) as serving:
        _, said = serving.communicate(timeout=60)
    assert (serving.returncode, said.count("\n")) == (1, 1)
    assert "run `runledger migrate`" in said
    with typed(site, "migrate") as migrating:
        assert migrating.wait(60) == 0
    with typed(site, "serve", "--port", "0", "--json", **settings(upstream)) as serving:
        assert announced(serving)["worker"] is True
