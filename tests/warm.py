"""Live the life of a run once in the process from which servers are forked, so that all is compiled.

A process that starts cold spends half a second on what every server does first. Importing this module does it.
"""

from __future__ import annotations

import asyncio
import gc
import tempfile
import threading
from pathlib import Path

import httpx2 as httpx

from receiver import app, settings, telemetry, timeouts
from receiver.server import uvicorn_server
from receiver.web import authentication
from storage.engine.database import Database
from storage.migrations import schema_version
from storage.transitions import api_key_changes
from tests import compiled, life, sandbox_server
from tests.patience import until


def warm(url: str, folder: Path) -> None:
    """Serve from this database until a run has ended, and ask for what tests ask for."""
    with sandbox_server.running(run_seconds=0.0) as sandbox:
        asyncio.run(_serve(url, folder, sandbox))
    assert threading.active_count() == 1, "a fork would leave threads behind"


async def _serve(url: str, folder: Path, sandbox: sandbox_server.Sandbox) -> None:
    async with Database(url) as store:
        await store.write(schema_version.upgrade)
        key, text = authentication.mint("test", ("admin",), life.NOW)
        await store.write(api_key_changes.create_key, key)
    bound = uvicorn_server.bind("127.0.0.1", 0)
    given = settings.load(
        env_file=None,
        casedev_api_key=sandbox_server.KEY,
        casedev_base_url=sandbox.url,
        public_url=uvicorn_server.url(bound),
        data_dir=str(folder),
        database_url=url,
        secret_keys="00" * 32,
    )
    served = app.create_app(given, overrides=app.Overrides(timing=timeouts.Timing(poll=0.1, sweep=0.1)))
    async with uvicorn_server.running(served, bound):
        await asyncio.to_thread(_ask, uvicorn_server.url(bound), text, sandbox)


def _ask(url: str, key: str, sandbox: sandbox_server.Sandbox) -> None:
    headers = {"Authorization": f"Bearer {key}"}
    with httpx.Client(base_url=url, headers=headers, **sandbox_server.PLAIN) as api, sandbox.client() as upstream:
        body = {"agentId": sandbox_server.new_agent(upstream), "prompt": "Review the lease.", "tags": {"a": "b"}}
        run = api.post("/v1/runs", json=body).raise_for_status().json()["id"]
        until(lambda: api.get(f"/v1/runs/{run}").json()["status"] == "completed")
        own = [f"/runs/{run}/{part}" for part in ("steps", "timeline", "document")]
        for path in (*own, "/runs?q=lease", "/jobs"):
            api.get(f"/v1{path}").raise_for_status()
        api.post(f"/v1/runs/{run}/refresh").raise_for_status()


compiled.share()
telemetry.configure("json", "critical")
with tempfile.TemporaryDirectory() as made:
    warm(f"sqlite:///{made}/warm.db", Path(made))
gc.collect()
gc.freeze()  # collections in the servers need not look at what they share
