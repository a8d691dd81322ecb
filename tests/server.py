"""Start and stop the real server in a process of its own; tests reach it over its socket and read its database."""

from __future__ import annotations

import asyncio
import itertools
import multiprocessing
import re
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import httpx2 as httpx
from sqlalchemy import Engine, NullPool, create_engine, text

from receiver import clock
from receiver.crypto import log_keys
from receiver.web import authentication
from storage.engine import database
from storage.migrations import schema_version
from storage.transitions import api_key_changes
from tests import serving
from tests.patience import until
from tests.sandbox_server import PLAIN

#: Changed bounds of the `queue`, of unknown senders (`bounds`), and of the `connections`.
Bounds = dict[str, dict[str, Any]]

#: Waits that are long in production, compressed; all in seconds.
TIMING: dict[str, Any] = {
    "backoff": 0.1,
    "backoff_most": 1.0,
    "alive": 0.1,
    "alive_most": 0.5,
    "refetch": [0.5, 1.0],
    "pause": 0.1,
    "pause_most": 0.5,
    "lease": 5.0,
    "heartbeat": 1.0,
    "poll": 0.5,
    "sweep": 1.0,
    "sweep_only": 0.3,
    "lost": 3.0,
    "ask_lost": 0.5,
    "refuse": 0.6,
    "lost_create": 0.5,
    "call": 5.0,
    "slow_body": 2.0,
    "rejection_flush": 0.2,
    "notify": 5.0,
    "notify_backoff": 0.1,
    "notify_backoff_most": 0.5,
}
#: A process with all imports that is forked for each server, since imports take seconds.
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.serving", "tests.warm"])


@dataclass(frozen=True)
class Site:
    """The folder, database and keys of a server; without `database_url` the database is a file in the folder."""

    folder: Path
    database_url: str = ""
    pooler: bool = False
    secret_keys: str = field(default_factory=lambda: secrets.token_hex(32))
    ledger_keys: str = field(default_factory=lambda: log_keys.new("runledger.test/ledger").private_text)

    @property
    def url(self) -> str:
        """Return the address of the database."""
        return self.database_url or f"sqlite:///{self.folder / 'runledger.db'}"

    @property
    def settings(self) -> dict[str, str]:
        """Return the settings of each process that uses the site."""
        values = {
            "data_dir": str(self.folder),
            "secret_keys": self.secret_keys,
            "ledger_keys": self.ledger_keys,
        }
        if self.database_url:
            values |= {"database_url": self.database_url, "database_pooler": str(self.pooler).lower()}
        return values

    @property
    def environment(self) -> dict[str, str]:
        """Return the same settings as environment variables of a command."""
        return {f"RUNLEDGER_{name.upper()}": value for name, value in self.settings.items()}


class Server:
    """One server on one site. `start` may be called again after `kill` or `stop`."""

    def __init__(
        self,
        site: Site,
        upstream: str,
        timing: dict[str, Any],
        settings: dict[str, Any],
        bounds: Bounds | None = None,
    ) -> None:
        self.site = site
        self.folder = site.folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.points = site.folder / "points"
        self.log = site.folder / "server.log"
        self._kill = site.folder / "kill"
        self._timing = TIMING | timing
        self._bounds = bounds or {}
        self._settings = {
            "casedev_api_key": "sk_case_test",
            "casedev_base_url": upstream,
            "public_url": self.url,
            **site.settings,
        } | settings
        self.starts = 0
        self._process: BaseProcess | None = None
        self.key = asyncio.run(self._make_key())

    async def _make_key(self) -> str:
        async with database.Database(self.site.url, pooler=self.site.pooler) as store:
            await store.write(schema_version.upgrade)
            key, text = authentication.mint("test", ("admin",), clock.now())
            await store.write(api_key_changes.create_key, key)
            return text

    def start(self, kill: str | None = None, **settings: Any) -> None:
        """Start the process and wait until it answers; with `kill` the process dies at that point."""
        self.begin(kill, **settings)
        until(lambda: self.is_dead() or answers(self.url), why="the server did not start")

    def die_at(self, point: str | None) -> None:
        """Let the process die at a point that it has yet to pass; None lets it live."""
        if point is None:
            self._kill.unlink(missing_ok=True)
        else:
            written = self._kill.with_suffix(".new")
            written.write_text(point)
            written.rename(self._kill)

    def begin(self, kill: str | None = None, **settings: Any) -> None:
        """Start the process without waiting for it."""
        self.die_at(kill)
        self.starts += 1
        options = {
            "port": self.port,
            "settings": self._settings | settings,
            "timing": self._timing,
            "points": str(self.points),
            "log": str(self.log),
            **self._bounds,
        }
        self._process = CONTEXT.Process(target=serving.serve, args=(options,), daemon=True)
        self._process.start()

    @property
    def pid(self) -> int:
        """Return the id of the process that was started last."""
        assert self._process is not None
        assert self._process.pid is not None
        return self._process.pid

    def is_dead(self) -> bool:
        """Return whether the process has ended."""
        return self._process is None or self._process.exitcode is not None

    def kill(self) -> None:
        """Send SIGKILL, so that the process can neither flush nor log anything."""
        if self._process is not None:
            self._process.kill()
            self._process.join()

    def stop(self) -> int:
        """Send SIGTERM and wait until the process has drained; return its exit code, negative after a signal."""
        assert self._process is not None
        self._process.terminate()
        self._process.join(60)
        assert self._process.exitcode is not None, "it did not drain in time"
        return self._process.exitcode

    @contextmanager
    def client(self) -> Iterator[httpx.Client]:
        """Open a client with the key of an administrator."""
        headers = {"Authorization": f"Bearer {self.key}"}
        with httpx.Client(base_url=self.url, headers=headers, **PLAIN) as client:
            yield client

    def rows(self, statement: str, *values: Any) -> list[dict[str, Any]]:
        """Read rows from the database, not through the server; each `?` stands for one of the values."""
        numbers = itertools.count()
        named = text(re.sub(r"\?", lambda _: f":v{next(numbers)}", statement))
        with self._engine.connect() as connection:
            found = connection.execute(named, {f"v{number}": value for number, value in enumerate(values)})
            return [dict(row) for row in found.mappings()]

    @cached_property
    def _engine(self) -> Engine:
        """Return an engine that keeps no connection; it is made once, as it inspects the database slowly."""
        return create_engine(self.site.url, poolclass=NullPool)


def answers(url: str) -> bool:
    """Return whether a server at this address answers its liveness check."""
    try:
        return httpx.get(f"{url}/healthz", **PLAIN | {"timeout": 5}).status_code == 200
    except httpx.TransportError:
        return False


def listens(port: int) -> bool:
    """Return whether a process listens on that loopback port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    """Return a loopback port on which no process listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def running(
    site: Site,
    upstream: str,
    *,
    timing: dict[str, Any] | None = None,
    bounds: Bounds | None = None,
    **settings: Any,
) -> Iterator[Server]:
    """Start a server; kill it at the end if it still runs, and print its log where a test failed."""
    server = Server(site, upstream, timing or {}, settings, bounds)
    try:
        server.start()
        yield server
    except BaseException:
        print(server.log.read_text() if server.log.exists() else "")
        raise
    finally:
        server.kill()
