"""Runs the real server in a process of its own, with compressed waits.

What is wanted names the settings, the fields of `Timing` that differ, bounds of the queue, of strangers and of
connections, and where to die: `kill` is a point such as `before commit created`. Every point that is passed is
written to `points`, one a line. Beside the log two files may come and go while it runs: `clock` holds the seconds
by which this machine's clock is wrong, and while `full` is there an embedded database finds no room on its disk.
"""

from __future__ import annotations

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

from receiver import admission, app, backoff, clock, settings, telemetry
from receiver.cli import connections, listening
from receiver.upstream import wire
from storage import writer
from tests.patience import PATIENT


class Points:
    """Notes each commit and each request of this process as it passes, and dies at the one it is told."""

    def __init__(self, path: str | None, kill: str | None) -> None:
        self._file = Path(path).open("a", buffering=1) if path else None  # noqa: SIM115 - open until the process ends
        self._kill = kill

    def commit(self, group: writer.Group) -> None:
        for name, result in zip(group.names, group.results, strict=True):
            kinds = {claim.kind.value for claim in result} if name == "claim" else ()
            for label in [f"{name}[{kind}]" for kind in kinds] or [name]:
                self.passed(f"{group.phase} commit {label}")

    def passed(self, point: str) -> None:
        if self._file:
            self._file.write(point + "\n")
        if point == self._kill:
            os.kill(os.getpid(), signal.SIGKILL)


class Watched(httpx.AsyncBaseTransport):
    """The real transport, with a point before each request and one after its answer."""

    def __init__(self, points: Points) -> None:
        self._points = points
        self._real = wire.transport(16)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        label = f"{request.method} {_template(request.url.path)}"
        self._points.passed(f"before request {label}")
        response = await self._real.handle_async_request(request)
        self._points.passed(f"after request {label}")
        return response

    async def aclose(self) -> None:
        await self._real.aclose()


class Wall:
    """This machine's clock, as wrong as the file says."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __call__(self) -> datetime:
        wrong = float(self._file.read_text()) if self._file.exists() else 0.0
        return clock.now() + timedelta(seconds=wrong)


#: Pages that SQLite lets a file have at most.
ROOM = 4294967294


def _keep_full(file: Path) -> None:
    """While the file is there no database file of this process grows."""

    @event.listens_for(sqlalchemy.Engine, "begin")
    def begin(connection: sqlalchemy.Connection) -> None:
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql(f"PRAGMA max_page_count = {1 if file.exists() else ROOM}")


def _template(path: str) -> str:
    """The path with the run's id taken out."""
    parts = path.split("/")
    return "/".join("{id}" if part.startswith("run_") else part for part in parts)


def serve(wanted: dict[str, Any]) -> None:
    """Serves until it is told to stop, or dies where it is told to. What it says goes to the file `log`."""
    with Path(wanted["log"]).open("a", buffering=1) as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    warnings.simplefilter("error")
    points = Points(wanted.get("points"), wanted.get("kill"))
    bound = listening.bind("127.0.0.1", wanted["port"])
    given = settings.load(env_file=None, **wanted["settings"])
    telemetry.configure("json", given.log_level)
    timing = backoff.Timing(**{**wanted["timing"], "refetch": tuple(wanted["timing"]["refetch"])})
    beside = Path(wanted["log"]).parent
    _keep_full(beside / "full")
    seams = app.Seams(
        timing=timing,
        clock=clock.Shared(Wall(beside / "clock")),
        transport=Watched(points),
        backend=Watched(points),
        observe=points.commit,
        queue=replace(PATIENT, **wanted.get("queue", {})),
        bounds=admission.Bounds(**wanted.get("bounds", {})),
    )
    served = app.create_app(given, seams=seams)
    limits = connections.Limits(**wanted.get("connections", {}))
    listening.run(lambda: listening.serve(served, bound, limits=limits, notice=wanted.get("notice", 0.0)))
