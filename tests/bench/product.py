"""The product as it is shipped: `runledger serve` in a process of its own, without what tests add to a server."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

from receiver import clock
from storage import ids
from storage.engine import connections
from storage.tables.runs import RUNS
from tests import postgres, server
from tests.patience import until

#: An address at which nothing listens: the receiver is measured, not an upstream.
NO_UPSTREAM = "http://127.0.0.1:9"
#: The secret of platform events, and its loads.
SECRET = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

#: Makes a site with a fresh database.
NewSite = Callable[[], server.Site]


class Product(server.Server):
    """A server that the command starts, with its settings as environment variables."""

    _command: subprocess.Popen[bytes] | None = None

    def begin(self, kill: str | None = None, **settings: Any) -> None:
        """Start the process without waiting for it. It passes no kill points."""
        assert kill is None
        given = {**self._settings, **settings}
        names = {
            name: name.upper() if name.startswith("casedev") else f"RUNLEDGER_{name.upper()}" for name in given
        }
        environment = {names[name]: str(value) for name, value in given.items()}
        with self.log.open("ab") as log:
            self._command = subprocess.Popen(
                [sys.executable, "-m", "receiver", "serve", "--port", str(self.port)],
                env={**os.environ, **environment},
                stdout=log,
                stderr=log,
            )

    @property
    def pid(self) -> int:
        """Return the id of the process."""
        assert self._command is not None
        return self._command.pid

    def is_dead(self) -> bool:
        """Return whether the process has ended."""
        return self._command is None or self._command.poll() is not None

    def kill(self) -> None:
        """Send SIGKILL and wait for the end."""
        if self._command is not None:
            self._command.kill()
            self._command.wait()

    def stop(self) -> int:
        """Send SIGTERM and wait until the process has drained; return its exit code."""
        assert self._command is not None
        self._command.terminate()
        return self._command.wait(60)


@contextmanager
def running(site: server.Site, upstream: str = NO_UPSTREAM, **settings: Any) -> Iterator[Product]:
    """Serve on a site; print the log where the block fails."""
    product = Product(site, upstream, {}, {"public_url": "", "log_level": "error", **settings})
    try:
        product.begin()
        until(lambda: product.is_dead() or server.answers(product.url), why="the server did not start")
        yield product
    except BaseException:
        print(product.log.read_text(), file=sys.stderr)
        raise
    finally:
        product.kill()


@contextmanager
def sites(database: str) -> Iterator[NewSite]:
    """Return a function that makes sites of a kind; a PostgreSQL flushes what it commits, as SQLite does."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        cluster = stack.enter_context(postgres.running(durable=True)) if database == "postgresql" else None

        def new() -> server.Site:
            own = Path(tempfile.mkdtemp(dir=folder))
            return server.Site(own, cluster.fresh() if cluster else "")

        yield new


@contextmanager
def site(database: str) -> Iterator[server.Site]:
    """Return one site for a server, with a fresh database of that kind."""
    with sites(database) as new:
        yield new()


def stored_deliveries(ours: server.Server) -> int:
    """Return how many requests the database has, as rows or as counted repeats."""
    counted = "SELECT count(*) + sum(repeats) AS n FROM deliveries WHERE verdict <> 'rejected'"
    return int(ours.rows(counted)[0]["n"] or 0)


class KnownRun(NamedTuple):
    """A run that the product follows."""

    id: str
    upstream_id: str


def add_running(site: server.Site, count: int) -> list[KnownRun]:
    """Write runs that were started upstream, as the product would have; return their ids."""
    now = clock.now()
    made = [KnownRun(ids.new(now), f"run_{secrets.token_hex(12)}") for _ in range(count)]
    same = {"origin": "submitted", "status": "running", "agent_id": "agent_bench", "submitted_by": "bench"}
    instants = {"accepted_at": now, "created_at": now, "started_at": now, "expected_by": now + timedelta(hours=1)}
    rows = [
        {**each._asdict(), "prompt": "Review the lease.", "watched": True, **same, **instants} for each in made
    ]
    engine = connections.engine(site.url, readonly=False, connections=1)
    with engine.begin() as connection:
        connection.execute(RUNS.insert(), rows)
    engine.dispose()
    return made
