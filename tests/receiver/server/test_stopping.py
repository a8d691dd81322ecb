"""A server that is stopped while a client waits for a result."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx2 as httpx

from receiver import clock
from receiver.web import authentication
from storage.engine import database
from storage.migrations import schema_version
from storage.transitions import api_key_changes
from tests import sandbox_server, server
from tests.patience import until

ROOT = Path(__file__).parent.parent.parent.parent


async def _make_key(folder: Path) -> str:
    async with database.Database(f"sqlite:///{folder / 'runledger.db'}") as store:
        await store.write(schema_version.upgrade)
        key, text = authentication.mint("test", ("submit",), clock.now())
        await store.write(api_key_changes.create_key, key)
        return text


def _serve(folder: Path, port: int, upstream: str) -> subprocess.Popen[bytes]:
    settings = {"RUNLEDGER_DATA_DIR": str(folder), "CASEDEV_API_KEY": "sk_case_x", "CASEDEV_BASE_URL": upstream}
    words = [sys.executable, "-W", "error", "-m", "receiver", "serve", "--port", str(port)]
    environment = {**os.environ, **settings, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(words, cwd=folder, env=environment, stderr=subprocess.DEVNULL)


def _submit_and_wait(port: int, key: str, agent: str, answers: list[httpx.Response]) -> None:
    headers = {"Authorization": f"Bearer {key}", "Prefer": "wait=60"}
    body = {"agentId": agent, "prompt": "Find every force majeure clause."}
    answers.append(httpx.post(f"http://127.0.0.1:{port}/v1/runs", json=body, headers=headers, timeout=90))


def test_a_waiting_client_gets_the_accepted_run_when_the_server_stops(tmp_path: Path) -> None:
    key, port, answers = asyncio.run(_make_key(tmp_path)), server.free_port(), list[httpx.Response]()
    with (
        sandbox_server.running(seed=1, run_seconds=600) as sandbox,
        sandbox.client() as api,
        _serve(tmp_path, port, sandbox.url) as running,
    ):
        until(lambda: server.answers(f"http://127.0.0.1:{port}"))
        asked = (port, key, sandbox_server.new_agent(api), answers)
        waiting = threading.Thread(target=_submit_and_wait, args=asked)
        waiting.start()
        until(lambda: sandbox.calls("exec"))
        stopped = time.monotonic()
        running.terminate()
        waiting.join(60)
        assert running.wait(60) == 0
    assert [answer.status_code for answer in answers] == [202]
    assert time.monotonic() - stopped < 40, "the server waits for no result"
