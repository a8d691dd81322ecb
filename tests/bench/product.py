"""The product as it is shipped: `runledger serve` in a process of its own, without what tests add to a server."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests import server
from tests.patience import until

#: An address at which nothing listens: the receiver is measured, not an upstream.
NO_UPSTREAM = "http://127.0.0.1:9"


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
def running(site: server.Site, **settings: Any) -> Iterator[Product]:
    """Serve on a site; print the log where the block fails."""
    product = Product(site, NO_UPSTREAM, {}, {"public_url": "", "log_level": "error", **settings})
    try:
        product.begin()
        until(lambda: product.is_dead() or server.answers(product.url), why="the server did not start")
        yield product
    except BaseException:
        print(product.log.read_text())
        raise
    finally:
        product.kill()
