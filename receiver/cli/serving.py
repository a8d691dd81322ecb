"""What runs until it is told to stop: the server, the sandbox."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from receiver.cli import sentences

if TYPE_CHECKING:
    from receiver import settings
    from receiver.sandbox import faults

VERBS = typer.Typer()

Announced = Annotated[
    bool, typer.Option("--json", help="For programs: where it listens, as one JSON object on standard output.")
]
Told = Annotated[
    bool, typer.Option("--json", help="For programs: once it works, where, as one JSON object on standard output.")
]
Port = Annotated[int, typer.Option(metavar="PORT", min=0, max=65535, help="0 for any that is free.")]
Length = Annotated[float, typer.Option(metavar="SECONDS", min=0, help="How long a run takes, more or less.")]
Seed = Annotated[
    int | None,
    typer.Option(metavar="N", help="Ids and contents follow from it; a new one each time.", show_default=False),
]
Host = Annotated[str, typer.Option(metavar="ADDRESS", help="The address to listen on; 0.0.0.0 for all.")]


@VERBS.command()
def serve(
    host: Host = "127.0.0.1",
    port: Port = 8080,
    no_worker: Annotated[
        bool, typer.Option("--no-worker", help="Take requests only; runs wait for a server that works.")
    ] = False,
    as_json: Announced = False,
) -> None:
    """Run the server: the API, the public endpoints, the worker.

    Settings come from the environment or .env.

    \b
    Examples:
      CASEDEV_API_KEY=sk_case_… runledger serve
      runledger serve --host 0.0.0.0 --port 8080
    """
    from receiver import app, settings, telemetry
    from receiver.cli import listening

    given = settings.load()
    _name_unknown()
    telemetry.configure(given.log_format, given.log_level)
    with listening.bind(host, port) as bound:
        made = app.create_app(given, with_worker=not no_worker)
        address = listening.url(bound)
        listening.run(
            lambda: listening.serve(
                made,
                bound,
                lambda: _announce(given, address, with_worker=not no_worker, as_json=as_json),
                notice=listening.NOTICE,
            )
        )


@VERBS.command()
def work(as_json: Told = False) -> None:
    """Work without a server: start, settle, sweep and seal for those that serve.

    It claims jobs in the database that `runledger serve --no-worker` fills, on
    this machine or another, and takes no requests. Settings are the same ones.
    Several work beside each other on PostgreSQL; an embedded database takes one
    process, which serves as well.

    \b
    Example:
      RUNLEDGER_DATABASE_URL=postgresql://… runledger work
    """
    import structlog

    from receiver import app, settings, telemetry
    from receiver.cli import listening

    given = settings.load()
    _name_unknown()
    telemetry.configure(given.log_format, given.log_level)

    async def working() -> None:
        async with app.working(given):
            told = {"data": _place(given), "upstream": given.casedev_base_url, "jobs": given.jobs}
            if as_json:
                print(json.dumps(told), flush=True)
            structlog.get_logger("runledger").info("working", **told)
            await listening.until_signalled()

    listening.run(working)


def _name_unknown() -> None:
    """Says which variables look like settings and are none."""
    from receiver import settings

    for name, meant in settings.unknown_names().items():
        hint = f"; did you mean {meant}?" if meant else ""
        print(f"runledger: {name} is no setting{hint}", file=sys.stderr)


def _announce(given: settings.Settings, address: str, *, with_worker: bool, as_json: bool) -> None:
    """Where it is to be found: lines for people, an event for programs."""
    import structlog

    place = _place(given)
    roads = f"callbacks come to {given.public_url}" if given.public_url else "no RUNLEDGER_PUBLIC_URL: sweep only"
    worker = "" if with_worker else "; no worker here, runs wait for one"
    if as_json:
        told = {
            "address": address,
            "data": place,
            "publicUrl": given.public_url or None,
            "worker": with_worker,
        }
        print(json.dumps(told), flush=True)
        return
    if given.log_format == "json":
        log = structlog.get_logger("runledger")
        log.info("serving", address=address, data=place, public_url=given.public_url, worker=with_worker)
        return
    print(f"Runledger listens on {address}")
    print(f"  data in {place}; runs go to {given.casedev_base_url}; {roads}{worker}", flush=True)


def _place(given: settings.Settings) -> str:
    """Where the data is: a folder, or a server's database without its password."""
    from receiver.cli import opening
    from storage import dialect

    return opening.short(given.data_dir) if given.is_embedded else dialect.shown(given.url)


@VERBS.command()
def sandbox(
    host: Host = "127.0.0.1",
    port: Port = 9000,
    run_seconds: Length = 5.0,
    seed: Seed = None,
    fault: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="Something that goes wrong; repeat it.")
    ] = None,
    public_only: Annotated[
        bool, typer.Option("--public-only", help="Take no callback addresses on this machine, as upstream.")
    ] = False,
    allow_public: Annotated[
        bool, typer.Option("--allow-public", help="Listen where other machines can reach it: any key is let in.")
    ] = False,
    record: Annotated[
        Path | None, typer.Option("--record", metavar="FILE", help="Add every exchange to it, a JSON line each.")
    ] = None,
    list_faults: Annotated[bool, typer.Option("--list-faults", help="Tell what can go wrong, and exit.")] = False,
    as_json: Announced = False,
) -> None:
    """Imitate Case.dev, bad days included, for trying things out.

    Any key that begins with sk_case_ is let in.

    \b
    Examples:
      runledger sandbox --run-seconds 20
      runledger sandbox --fault callback_duplicates=2 --fault error_rate.exec=0.5
      runledger sandbox --record exchanges.jsonl
    """
    if list_faults:
        _list_faults(as_json)
        return
    if not allow_public:
        _refuse_public(host)
    # The ids of an earlier sandbox, minted again, would be those of other runs to a server that knows them.
    chosen = secrets.randbits(31) if seed is None else seed
    with _opened(record) as file:
        _sandbox(host, port, run_seconds, chosen, _switches(fault or ()), public_only, file, as_json)


def _list_faults(as_json: bool) -> None:
    from receiver.cli import switches

    switches.show(as_json=as_json)


def _refuse_public(host: str) -> None:
    """Raises Complaint where other machines could reach the sandbox."""
    from receiver import addresses

    if not addresses.is_loopback(f"http://{host}"):
        raise sentences.Complaint(
            f"--host {host} can be reached from other machines, and the sandbox lets everyone in: "
            "add --allow-public if that is meant",
            sentences.USAGE,
        )


def _switches(given: Sequence[str]) -> faults.Faults:
    """What goes wrong, as it was typed. Raises Complaint."""
    from receiver.sandbox import faults

    try:
        return faults.parse(given)
    except faults.FaultError as error:
        raise sentences.Complaint(f"--fault: {error} (`runledger sandbox --list-faults` tells all)", 2) from None


@contextlib.contextmanager
def _opened(path: Path | None) -> Iterator[TextIO | None]:
    """The file to record in, its owner's alone since it holds prompts; nothing where there is no path."""
    if path is None:
        yield None
        return
    try:
        file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "w", encoding="utf-8")
    except OSError as error:
        raise sentences.Complaint(f"--record {path} cannot be written: {error.strerror}") from None
    with file:
        yield file


def _sandbox(
    host: str,
    port: int,
    run_seconds: float,
    seed: int,
    switches: faults.Faults,
    public_only: bool,
    record: TextIO | None,
    as_json: bool,
) -> None:
    from receiver.cli import listening
    from receiver.sandbox import app

    with listening.bind(host, port) as bound:
        made = app.create_app(
            seed=seed, run_seconds=run_seconds, faults=switches, public_only=public_only, record=record
        )
        address = listening.url(bound)

        def announce() -> None:
            if as_json:
                told = {"address": address, "seed": seed, "journal": f"{address}/sandbox/journal"}
                print(json.dumps(told), flush=True)
                return
            print(f"The sandbox (seed {seed}) listens on {address}")
            print(f"  what it was asked and sent: {address}/sandbox/journal")
            print(f"  CASEDEV_BASE_URL={address} CASEDEV_API_KEY=sk_case_sandbox runledger serve", flush=True)

        listening.run(lambda: listening.serve(made, bound, announce))
