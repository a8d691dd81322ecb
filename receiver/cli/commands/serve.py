"""Servers that run until they are signalled: the server, a worker, the sandbox."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import socket
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, TextIO

import structlog
import typer

from receiver import app as application
from receiver import client_address, settings, telemetry
from receiver.cli import event_loop, open_database
from receiver.cli.errors import USAGE, CommandError
from receiver.cli.render import json_lines
from receiver.cli.render import sandbox as switches
from receiver.sandbox import app as imitation
from receiver.sandbox import faults
from receiver.server import uvicorn_server
from storage.engine import urls

app = event_loop.commands()

Json = Annotated[
    bool, typer.Option("--json", help="For programs: where it listens, as one JSON object on standard output.")
]
Port = Annotated[int, typer.Option(metavar="PORT", min=0, max=65535, help="0 for any that is free.")]
Host = Annotated[str, typer.Option(metavar="ADDRESS", help="The address to listen on; 0.0.0.0 for all.")]


@app.command()
def serve(
    host: Host = "127.0.0.1",
    port: Port = 8080,
    no_worker: Annotated[
        bool, typer.Option("--no-worker", help="Take requests only; runs wait for a server with a worker.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Run the server: the API, the public endpoints, the worker.

    Settings come from the environment or .env.

    \b
    Examples:
      CASEDEV_API_KEY=sk_case_… runledger serve
      runledger serve --host 0.0.0.0 --port 8080
    """
    given = _configured()
    with _bound(host, port) as bound:
        server = application.create_app(given, with_worker=not no_worker)
        address = uvicorn_server.url(bound)

        def announce() -> None:
            _announce(given, address, with_worker=not no_worker, as_json=as_json)

        uvicorn_server.run(lambda: uvicorn_server.serve(server, bound, announce, notice=uvicorn_server.NOTICE))


@app.command()
def work(
    as_json: Annotated[
        bool,
        typer.Option("--json", help="For programs: once it works, where, as one JSON object on standard output."),
    ] = False,
) -> None:
    """Run a worker without a server.

    It starts and settles the runs that `runledger serve --no-worker` accepts on
    the same database, on this machine or another, sweeps, and numbers ledger
    entries. It takes no requests and has the same settings. Several workers run
    beside each other on PostgreSQL; an embedded database takes one process,
    which serves as well.

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


def _configured() -> settings.Settings:
    """Return the settings, configure the log, and warn of variables that look like settings and are none."""
    given = settings.load()
    for name, meant in settings.unknown_names().items():
        hint = f"; did you mean {meant}?" if meant else ""
        print(f"runledger: {name} is no setting{hint}", file=sys.stderr)
    telemetry.configure(given.log_format, given.log_level)
    return given


def _bound(host: str, port: int) -> socket.socket:
    """Return a socket bound to the address. Raise CommandError where that cannot be."""
    try:
        return uvicorn_server.bind(host, port)
    except uvicorn_server.UnknownHost as error:
        raise CommandError(f"--host {error}", USAGE) from None
    except uvicorn_server.ListenError as error:
        hint = "; choose another --port" if error.errno in (errno.EADDRINUSE, errno.EACCES) else ""
        raise CommandError(f"{error}{hint}") from None


def _announce(given: settings.Settings, address: str, *, with_worker: bool, as_json: bool) -> None:
    """Print where the server listens: lines for people, an object or a log line for programs."""
    place, public_url = _place(given), given.public_url
    if as_json:
        json_lines.mapping(
            {"address": address, "data": place, "publicUrl": public_url or None, "worker": with_worker}
        )
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


RunSeconds = Annotated[float, typer.Option(metavar="SECONDS", min=0, help="How long a run takes, more or less.")]
Seed = Annotated[
    int | None,
    typer.Option(metavar="N", help="Ids and contents follow from it; a new one each time.", show_default=False),
]
Fault = Annotated[
    list[str] | None, typer.Option(metavar="NAME=VALUE", help="Something that goes wrong; repeat it.")
]
PublicOnly = Annotated[
    bool, typer.Option("--public-only", help="Take no callback addresses on this machine, as upstream.")
]
AllowPublic = Annotated[
    bool, typer.Option("--allow-public", help="Listen where other machines can reach it: any key is accepted.")
]
Record = Annotated[
    Path | None, typer.Option("--record", metavar="FILE", help="Add every exchange to it, a JSON line each.")
]
ListFaults = Annotated[bool, typer.Option("--list-faults", help="List what can go wrong, and exit.")]


@app.command()
def sandbox(
    host: Host = "127.0.0.1",
    port: Port = 9000,
    run_seconds: RunSeconds = 5.0,
    seed: Seed = None,
    fault: Fault = None,
    public_only: PublicOnly = False,
    allow_public: AllowPublic = False,
    record: Record = None,
    list_faults: ListFaults = False,
    as_json: Json = False,
) -> None:
    """Imitate Case.dev, faults included, for trying things out.

    Any key that begins with sk_case_ is accepted.

    \b
    Examples:
      runledger sandbox --run-seconds 20
      runledger sandbox --fault callback_duplicates=2 --fault error_rate.exec=0.5
      runledger sandbox --record exchanges.jsonl
    """
    if list_faults:
        switches.show(as_json=as_json)
        return
    if not allow_public:
        _demand_loopback(host)
    chosen = _faults(fault or ())
    # A sandbox with the seed of an earlier one repeats its ids, which a server may have stored as other runs.
    seed = secrets.randbits(31) if seed is None else seed
    with _opened(record) as file, _bound(host, port) as bound:
        server = imitation.Sandbox(
            seed=seed, run_seconds=run_seconds, switches=chosen, public_only=public_only, record=file
        )
        address = uvicorn_server.url(bound)
        uvicorn_server.run(
            lambda: uvicorn_server.serve(server, bound, lambda: _announce_sandbox(address, seed, as_json))
        )


def _announce_sandbox(address: str, seed: int, as_json: bool) -> None:
    journal = f"{address}/sandbox/journal"
    if as_json:
        json_lines.mapping({"address": address, "seed": seed, "journal": journal})
        return
    print(f"The sandbox (seed {seed}) listens on {address}")
    print(f"  requests it received and sent: {journal}")
    print(f"  CASEDEV_BASE_URL={address} CASEDEV_API_KEY=sk_case_sandbox runledger serve", flush=True)


def _demand_loopback(host: str) -> None:
    """Raise CommandError where other machines could reach the sandbox."""
    if not client_address.is_loopback(f"http://{host}"):
        raise CommandError(
            f"--host {host} can be reached from other machines, and the sandbox accepts any key: "
            "add --allow-public if that is meant",
            USAGE,
        )


def _faults(given: Sequence[str]) -> faults.Faults:
    """Return the faults that the options name. Raise CommandError."""
    try:
        return faults.parse(given)
    except faults.FaultError as error:
        raise CommandError(f"--fault: {error} (`runledger sandbox --list-faults` lists all)", USAGE) from None


@contextlib.contextmanager
def _opened(path: Path | None) -> Iterator[TextIO | None]:
    """Open the file to record in. Only its owner may read it, since it holds prompts."""
    if path is None:
        yield None
        return
    try:
        file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "w", encoding="utf-8")
    except OSError as error:
        raise CommandError(f"--record {path} cannot be written: {error.strerror}") from None
    with file:
        yield file
