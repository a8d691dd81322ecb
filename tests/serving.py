"""Run the real server in a process of its own, with compressed waits.

The argument of `serve` has the settings, changed fields of `Timing`, and bounds of the queue, of unknown senders
and of connections. Every point that is passed is written to `points`, one a line. Tests may write files next to
the log at any time: `kill` has the point at which the process kills itself, such as `before commit
record_created`, `clock` the seconds by which this machine's clock is wrong, and while `full` exists SQLite
cannot grow.
"""

from __future__ import annotations

import contextlib
import os
import signal
import warnings
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2 as httpx
import sqlalchemy
from sqlalchemy import event

from receiver import app, clock, settings, telemetry, timeouts
from receiver.server import connections, uvicorn_server
from receiver.upstream import exchange
from receiver.web import request_limits
from storage.engine import writer
from tests.patience import PATIENT


class Points:
    """Record each commit and each request of this process; kill it at the point that the file `kill` names."""

    def __init__(self, path: Path, kill: Path) -> None:
        self._file = path.open("a", buffering=1)
        self._kill = kill

    def commit(self, group: writer.CommitBatch) -> None:
        for name, result in zip(group.names, group.results, strict=True):
            kinds = {claim.kind.value for claim in result} if name == "claim" else ()
            for label in [f"{name}[{kind}]" for kind in kinds] or [name]:
                self.passed(f"{group.phase} commit {label}")

    def passed(self, point: str) -> None:
        self._file.write(point + "\n")
        with contextlib.suppress(FileNotFoundError):
            if self._kill.read_text() == point:
                os.kill(os.getpid(), signal.SIGKILL)


class WatchedTransport(httpx.AsyncBaseTransport):
    """The real transport, with a point before each request and one after its response."""

    def __init__(self, points: Points) -> None:
        self._points = points
        self._real = exchange.HttpTransport(16)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        label = f"{request.method} {_template(request.url.path)}"
        self._points.passed(f"before request {label}")
        response = await self._real.handle_async_request(request)
        self._points.passed(f"after request {label}")
        return response

    async def aclose(self) -> None:
        await self._real.aclose()


class Wall:
    """This machine's clock, wrong by the seconds that the file holds."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __call__(self) -> datetime:
        wrong = float(self._file.read_text()) if self._file.exists() else 0.0
        return clock.now() + timedelta(seconds=wrong)


#: Pages that SQLite lets a file have at most.
MAX_PAGES = 4294967294


def _keep_full(file: Path) -> None:
    """Let no SQLite file of this process grow while the file exists."""

    @event.listens_for(sqlalchemy.Engine, "begin")
    def begin(connection: sqlalchemy.Connection) -> None:
        if connection.dialect.name == "sqlite":
            is_full = os.path.exists(file)  # the cheapest, since it runs before each read
            if connection.info.get("is_full", False) != is_full:
                connection.exec_driver_sql(f"PRAGMA max_page_count = {1 if is_full else MAX_PAGES}")
                connection.info["is_full"] = is_full


def _template(path: str) -> str:
    """Return the path with the run's id replaced."""
    parts = path.split("/")
    return "/".join("{id}" if part.startswith("run_") else part for part in parts)


def serve(options: dict[str, Any]) -> None:
    """Serve until the process is stopped or reaches its kill point. Its output goes to the file `log`."""
    with Path(options["log"]).open("a", buffering=1) as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    warnings.simplefilter("error")
    folder = Path(options["log"]).parent
    points = Points(Path(options["points"]), folder / "kill")
    bound = uvicorn_server.bind("127.0.0.1", options["port"])
    given = settings.load(env_file=None, **options["settings"])
    telemetry.configure("json", given.log_level)
    timing = timeouts.Timing(**{**options["timing"], "refetch": tuple(options["timing"]["refetch"])})
    _keep_full(folder / "full")
    overrides = app.Overrides(
        timing=timing,
        clock=clock.SharedClock(Wall(folder / "clock")),
        transport=WatchedTransport(points),
        backend_transport=WatchedTransport(points),
        observe=points.commit,
        write_limits=replace(PATIENT, **options.get("queue", {})),
        bounds=request_limits.Bounds(**options.get("bounds", {})),
    )
    served = app.create_app(given, overrides=overrides)
    limits = connections.Limits(**options.get("connections", {}))
    uvicorn_server.run(
        lambda: uvicorn_server.serve(served, bound, limits=limits, notice=options.get("notice", 0.0))
    )
