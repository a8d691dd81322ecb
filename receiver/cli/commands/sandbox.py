"""`runledger sandbox`: imitate Case.dev until signalled, or list what can go wrong."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, TextIO

from rich.text import Text

from receiver import client_address
from receiver.cli import event_loop, listening
from receiver.cli.errors import USAGE, CommandError
from receiver.cli.parameters import flag, option
from receiver.cli.render import json_lines, terminal
from receiver.sandbox import app as imitation
from receiver.sandbox import faults, rules
from receiver.server import uvicorn_server

app = event_loop.commands()
_WIDEST = 100
_RULE = '--fault \'script=[{"route": "exec", "times": 1, "action": "lose_answer"}]\''
_NARROWED = "narrowed by route, run, agent, prompt (a piece of it), times and probability; the first that fits"

Seed = Annotated[
    int | None, option("N", "Decides ids and contents; default: a new one each time.", show_default=False)
]
PublicOnly = Annotated[bool, flag("--public-only", "Refuse callback addresses on this machine, as Case.dev does.")]
AllowPublic = Annotated[
    bool, flag("--allow-public", "Listen where other machines can reach it: any key is accepted.")
]
Record = Annotated[Path | None, option("FILE", "Append every exchange to it as a JSON line.", "--record")]


@app.command()
def sandbox(
    host: listening.Host = "127.0.0.1",
    port: listening.Port = 9000,
    run_seconds: Annotated[float, option("SECONDS", "About how long a run takes.", min=0)] = 5.0,
    seed: Seed = None,
    fault: Annotated[list[str] | None, option("NAME=VALUE", "A fault to switch on; repeatable.")] = None,
    public_only: PublicOnly = False,
    allow_public: AllowPublic = False,
    record: Record = None,
    list_faults: Annotated[bool, flag("--list-faults", "List what can go wrong, and exit.")] = False,
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
        show_faults(as_json=as_json)
        return
    if not allow_public:
        _demand_loopback(host)
    try:
        chosen = faults.parse(fault or ())
    except faults.FaultError as error:
        raise CommandError(f"--fault: {error} (`runledger sandbox --list-faults` lists all)", USAGE) from None
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


def show_faults(*, as_json: bool) -> None:
    """Print all switches, the actions of scripted rules, and the routes that they may name."""
    if as_json:
        for line in _objects():
            json_lines.mapping(line)
        return
    _section("Switches", "--fault NAME=VALUE, or PUT /sandbox/faults while it runs")
    for switch in faults.describe():
        _entry(switch["switch"], f"{json.dumps(switch['default'])}  {switch['takes']}", switch["imitates"])
    _section("Rules", _RULE, _NARROWED)
    for action in rules.ACTIONS.values():
        _entry(action.form, _places(action), action.does)
    _section("Routes", f"of calls: {', '.join(rules.API_ROUTES)}, * for all of them")
    _paragraph(f"of what is sent, in rules only: {', '.join(rules.SENT_ROUTES)}", "  ")
    _paragraph("GET /sandbox/held lists what is held, POST /sandbox/release releases it", "  ")


def _objects() -> Iterable[dict[str, object]]:
    yield from faults.describe()
    for action in rules.ACTIONS.values():
        yield {"action": action.form, "does": action.does, "toCalls": action.to_calls, "toSent": action.to_sent}
    for route in rules.ROUTES:
        yield {"route": route}


def _places(action: rules.Action) -> str:
    sent = " and ".join(rules.SENT_ROUTES)
    if not action.to_sent:
        return "calls"
    return f"calls, {sent}" if action.to_calls else sent


def _section(title: str, *sentences: str) -> None:
    out = terminal.console()
    out.print(Text(title, "bold"))
    for sentence in sentences:
        _paragraph(sentence, "  ")
    out.print()


def _entry(name: str, form: str, about: str) -> None:
    """Print a name with the values that it takes, and a description below it."""
    out = terminal.console()
    text = textwrap.fill(f"{name}  {form}", _width(), initial_indent="  ", subsequent_indent="      ")
    out.print(Text.assemble((text[: 2 + len(name)], "cyan"), text[2 + len(name) :]))
    _paragraph(about, "      ")
    out.print()


def _paragraph(text: str, indent: str) -> None:
    terminal.console().print(Text(textwrap.fill(text, _width(), initial_indent=indent, subsequent_indent=indent)))


def _width() -> int:
    return min(terminal.console().width, _WIDEST)
