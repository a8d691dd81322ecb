"""A server for a check: the installed command, on a port and a data folder of its own."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests import server
from tests.deploy.check import tools
from tests.patience import until


@dataclass(frozen=True)
class Deployment:
    """A running server."""

    port: int
    process: subprocess.Popen[bytes]
    log: Path


def migrate(folder: Path, **settings: str) -> None:
    """Migrate the database before the servers that share it start."""
    tools.run([tools.BIN / "runledger", "migrate"], cwd=folder, **settings)


def _settings(folder: Path) -> dict[str, str]:
    return tools.environment(
        CASEDEV_API_KEY="sk_case_check",
        CASEDEV_BASE_URL="http://127.0.0.1:9",
        RUNLEDGER_DATA_DIR=str(folder),
        RUNLEDGER_LOG_FORMAT="json",
    )


@contextmanager
def running(folder: Path, port: int | None = None, /, **settings: str) -> Iterator[Deployment]:
    """Run a server whose upstream does not exist, for as long as the block."""
    folder.mkdir(exist_ok=True)
    port, log = port or server.free_port(), folder / "server.log"
    given = _settings(folder) | settings
    with tools.started([tools.BIN / "runledger", "serve", "--port", str(port)], log, given, folder) as process:
        until(lambda: server.answers(f"http://127.0.0.1:{port}"), why="the server did not start")
        yield Deployment(port, process, log)
