"""The tasks that sign and publish checkpoints, over a database: no server and no other tasks."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from receiver import telemetry
from receiver.crypto import log_keys, log_policy
from receiver.worker import checkpoint_folder, checkpointer, publishing
from storage.engine.database import Database
from storage.ledger import entries, publication
from tests import life

LOG = log_keys.new("runledger.test/ledger")
ENTRY = entries.Entry(entries.Kind.RUN_STARTED, life.NOW, None, "worker")
POLL = 0.05
Work = Coroutine[Any, Any, None]


@dataclass
class Signing:
    """A store with the tasks of one process."""

    store: Database
    seconds: float = 0
    telemetry: telemetry.Telemetry = field(default_factory=telemetry.Telemetry)
    lines: list[structlog.typing.EventDict] = field(default_factory=list)

    policy: log_policy.Policy = field(default_factory=lambda: log_policy.Policy([LOG.verifier]))

    def __post_init__(self) -> None:
        self.telemetry.log = structlog.wrap_logger(None, processors=[self._logged]).bind()
        self.reporter = publishing.Reporter(self.store, self.telemetry, self.clock, LOG.name)

    def _logged(self, _logger: object, method: str, line: structlog.typing.EventDict) -> Any:
        self.lines.append({"level": method, **line})
        raise structlog.DropEvent

    def clock(self) -> Any:
        return life.at(self.seconds)

    def events(self, name: str) -> list[structlog.typing.EventDict]:
        return [line for line in self.lines if line["event"] == name]

    async def append(self, count: int = 1) -> None:
        await self.store.write(entries.append, [ENTRY] * count)
        await self.store.write(entries.number, 1000)

    async def report(self, subject: str) -> publication.Report | None:
        found = await self.store.read(publication.read)
        return next((each for each in found if each.subject == subject), None)

    def sign(self, looked: Mapping[str, asyncio.Event] | None = None) -> Work:
        return checkpointer.run(self.reporter, self.telemetry, [LOG], POLL, looked or {}, 5, self.policy)

    def publish(self, folder: Path, looked: asyncio.Event) -> Work:
        return checkpoint_folder.run(folder, [LOG.verifier], self.reporter, self.telemetry, looked, POLL, POLL)


@contextlib.asynccontextmanager
async def running(*works: Work) -> AsyncIterator[None]:
    """Run tasks within the block."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def until(holds: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """Return what `holds` returns once it is true; fail after a while."""
    async with asyncio.timeout(30):
        while not (found := await holds()):
            await asyncio.sleep(POLL)
    return found
