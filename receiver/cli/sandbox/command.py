"""`runledger sandbox`: imitate Case.dev until signalled."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, TextIO

import typer

from receiver import client_address
from receiver.cli import event_loop, listening
from receiver.cli.errors import USAGE, CommandError
from receiver.cli.render import json_lines
from receiver.cli.sandbox import fault_list
from receiver.sandbox import app as imitation
from receiver.sandbox import faults
from receiver.server import uvicorn_server

app = event_loop.commands()

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
    host: listening.Host = "127.0.0.1",
    port: listening.Port = 9000,
    run_seconds: RunSeconds = 5.0,
    seed: Seed = None,
    fault: Fault = None,
    public_only: PublicOnly = False,
    allow_public: AllowPublic = False,
    record: Record = None,
    list_faults: ListFaults = False,
    as_json: listening.Json = False,
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
        fault_list.show(as_json=as_json)
        return
    if not allow_public:
        _demand_loopback(host)
    chosen = _faults(fault or ())
    # A sandbox with the seed of an earlier one repeats its ids, which a server may have stored as other runs.
    seed = secrets.randbits(31) if seed is None else seed
    with _opened(record) as file, listening.bound(host, port) as bound:
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
