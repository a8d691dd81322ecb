"""Servers that run until they are signalled: the server, and a worker without one."""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import Sequence
from functools import partial
from importlib import metadata
from typing import Annotated, Any

import structlog

from receiver import app as application
from receiver import settings, telemetry
from receiver.cli import event_loop, listening, open_database
from receiver.cli.parameters import flag
from receiver.cli.render import json_lines
from receiver.server import uvicorn_server
from storage.engine import database, urls

app = event_loop.commands()


@app.command()
def serve(
    host: listening.Host = "127.0.0.1",
    port: listening.Port = 8080,
    no_worker: Annotated[
        bool, flag("--no-worker", "Only accept requests; runs wait for a server with a worker.")
    ] = False,
    as_json: listening.Json = False,
) -> None:
    """Run the server: the API, the public endpoints, the worker.

    Settings come from the environment or .env.

    \b
    Examples:
      CASEDEV_API_KEY=sk_case_… runledger serve
      runledger serve --host 0.0.0.0 --port 8080
    """
    given = _configured()
    with listening.bound(host, port) as bound:
        server = application.create_app(given, with_worker=not no_worker, checks=checks(given))
        address = uvicorn_server.url(bound)

        def announce() -> None:
            _announce(given, address, with_worker=not no_worker, as_json=as_json)

        uvicorn_server.run(lambda: uvicorn_server.serve(server, bound, announce, notice=uvicorn_server.NOTICE))


@app.command()
def work(
    as_json: Annotated[
        bool, flag("--json", "For programs: one JSON object once it runs, with its database.")
    ] = False,
) -> None:
    """Run a worker without a server.

    It starts and settles the runs that `runledger serve --no-worker` accepts on
    the same database, on this machine or another, sweeps, and numbers ledger
    entries. It accepts no requests; give it the settings of the server. Several
    workers may run on PostgreSQL. On SQLite only one process may run, so use
    `serve` there.

    \b
    Example:
      RUNLEDGER_DATABASE_URL=postgresql://… runledger work
    """
    given = _configured()

    async def working() -> None:
        async with application.working(given):
            facts = {"data": _place(given), "upstream": given.casedev_base_url, "jobs": given.worker_concurrency}
            if as_json:
                json_lines.mapping(facts)
            structlog.get_logger("runledger").info("worker_started", **facts)
            await uvicorn_server.until_signalled()

    uvicorn_server.run(working)


def checks(given: settings.Settings) -> application.Checks:
    """Return the checks of a server of this release. The first call imports the doctor."""
    return partial(_checked, given, metadata.version("runledger"))


async def _checked(given: settings.Settings, running: str, store: database.Database) -> Sequence[Any]:
    doctor = await asyncio.to_thread(importlib.import_module, "receiver.cli.doctor.server_checks")
    found: Sequence[Any] = await doctor.lines(given, running, store)
    return found


def _configured() -> settings.Settings:
    """Return the settings, configure the log, and warn of variables that look like settings and are none."""
    given = settings.load()
    for name, meant in settings.unknown_names().items():
        hint = f"; did you mean {meant}?" if meant else ""
        print(f"runledger: {name} is no setting{hint}", file=sys.stderr)
    telemetry.configure(given.log_format, given.log_level)
    return given


def _announce(given: settings.Settings, address: str, *, with_worker: bool, as_json: bool) -> None:
    """Print where the server listens: lines for people, an object or a log line for programs."""
    place, public_url = _place(given), given.public_url
    if as_json:
        facts = {"address": address, "data": place, "publicUrl": public_url or None, "worker": with_worker}
        json_lines.mapping(facts)
        return
    if given.log_format == "json":
        log = structlog.get_logger("runledger")
        log.info("server_started", address=address, data=place, public_url=public_url, worker=with_worker)
        return
    sources = f"callbacks come to {public_url}" if public_url else "no RUNLEDGER_PUBLIC_URL: sweep only"
    worker = "" if with_worker else "; no worker here, runs wait for one"
    print(f"Runledger listens on {address}")
    print(f"  data in {place}; runs go to {given.casedev_base_url}; {sources}{worker}", flush=True)


def _place(given: settings.Settings) -> str:
    """Return where the data is: a folder, or a database server's address without its password."""
    return open_database.short_path(given.data_dir) if given.is_embedded else urls.redacted(given.url)
