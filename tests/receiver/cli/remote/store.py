"""A store with one of everything, a server on it, and a terminal that works on either."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from receiver import clock
from receiver.web import authentication
from storage import ids, states
from storage.actions import bulk
from storage.engine.database import Database
from storage.query import agents
from storage.repositories import deliveries, jobs
from storage.retention import holds
from storage.transitions import api_key_changes
from tests import evidence_store, life, server
from tests.patience import until
from tests.receiver.cli.commands.test_jobs import died
from tests.receiver.cli.terminal import Screen, Terminal, started


@dataclass(frozen=True)
class Store:
    """The folder of a store, its server, and the ids of what is in it."""

    folder: Path
    url: str
    key: str
    names: dict[str, str]

    def type(self, *words: str, remote: bool) -> Screen:
        """Run a command on the store, or on its server as from another machine."""
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.folder)
            patch.setenv("XDG_CONFIG_HOME", str(self.folder / "config"))
            for name in [each for each in os.environ if each.startswith(("RUNLEDGER_", "CASEDEV_"))]:
                patch.delenv(name)
            if remote:
                patch.setenv("RUNLEDGER_URL", self.url)
                patch.setenv("RUNLEDGER_API_KEY", self.key)
                patch.setenv("RUNLEDGER_DATA_DIR", str(self.folder / "elsewhere"))
            else:
                patch.setenv("RUNLEDGER_DATA_DIR", str(self.folder / "data"))
            return Terminal(self.folder / "data").type(*(each.format(**self.names) for each in words))


@contextmanager
def served(folder: Path, template: Path) -> Iterator[Store]:
    """Fill a store and serve it, without a worker that would change it."""
    (folder / "data").mkdir()
    shutil.copy(template, folder / "data" / "runledger.db")
    names, key = asyncio.run(_fill(f"sqlite:///{folder / 'data' / 'runledger.db'}"))
    port = server.free_port()
    words = ("serve", "--no-worker", "--port", str(port))
    process = started(*words, folder=folder, RUNLEDGER_SQL="on", RUNLEDGER_PUBLIC_URL="https://ledger.test")
    try:
        until(lambda: process.poll() is not None or server.answers(f"http://127.0.0.1:{port}"))
        yield Store(folder, f"http://127.0.0.1:{port}", key, names)
    finally:
        process.kill()
        process.communicate()


async def _fill(url: str) -> tuple[dict[str, str], str]:
    async with Database(url) as store:
        run = await evidence_store.settle(store, "run_1")
        open_run = await life.accepted(store, agent_id="agent_2", tags={"client": "acme"})
        await died(store)
        claim = await life.claimed(store, states.Kind.START, open_run.id)
        await store.write(jobs.fail, claim, life.at(60), error="503 after 12 s", now=life.NOW)
        await store.write(agents.keep, {"agent_1": "Reviewer"}, life.NOW)
        await evidence_store.sign(store)
        hold = holds.Hold(ids.new(life.NOW), states.HoldScope.TAG, "client=acme", "Case 1", "operator", life.NOW)
        await store.write(holds.place, hold)
        request = bulk.Request(states.BulkKind.REFRESH, "cli", "operator", life.NOW, "status:completed")
        action = await store.write(bulk.create, await store.read(bulk.plan, request))
        key, text = authentication.mint("cli", ("admin",), clock.now())
        await store.write(api_key_changes.create_key, key)
        (delivery,), _ = await store.read(deliveries.page, deliveries.Query(limit=1, run_id=run))
    names = {"run": run, "open": open_run.id, "delivery": delivery.id, "job": claim.id, "hold": hold.id}
    return names | {"bulk": action.id}, text
