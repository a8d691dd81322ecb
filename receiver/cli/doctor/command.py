"""The doctor: faults of a set-up with their remedies, and undocumented behaviour of the real service."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from receiver.cli import event_loop
from receiver.cli.doctor import findings, live_run, runner
from receiver.cli.doctor.findings import CheckContext, Finding
from receiver.cli.errors import FAILED, USAGE, CommandError
from receiver.cli.parameters import flag, option
from receiver.cli.render import terminal

app = event_loop.commands()


@app.command()
async def doctor(
    live: Annotated[
        str | None, option("AGENT", "Send a tiny run of this agent too, and show what the service does.")
    ] = None,
    yes: Annotated[bool, flag("--yes", "With --live: do not ask before it is sent.")] = False,
    cancel_too: Annotated[bool, flag("--cancel-too", "With --live: send a second run and cancel it.")] = False,
    wait: Annotated[float, option("SECONDS", "With --live: how long a run may take.", min=1)] = 600.0,
    linger: Annotated[
        float, option("SECONDS", "With --live: how long a callback may come after the end.", min=0)
    ] = 30.0,
    seconds: Annotated[
        float, option("SECONDS", "How long an exchange over the network may take.", "--timeout", min=0.1)
    ] = 10.0,
    as_json: Annotated[bool, flag("--json", "For programs: one JSON object a line.")] = False,
) -> None:
    """Check this set-up: name what is wrong and what to do.

    It changes nothing, and the few requests that it sends are harmless. --live
    sends one tiny run, which costs what a run costs. The exit code is 1 where
    anything is a fault.

    \b
    Examples:
      runledger doctor
      runledger doctor --json
      runledger doctor --live agent_1
    """
    if live is None and (yes or cancel_too):
        raise CommandError("--yes and --cancel-too belong to --live AGENT", USAGE)
    if live is not None and not yes and not sys.stdin.isatty():
        raise CommandError("--live sends a run: add --yes where there is no terminal to ask on", USAGE)
    checked = findings.read(seconds)
    with terminal.spinner("checking"):
        found = await runner.run(checked)
    findings.show(found, as_json=as_json)
    if not as_json:
        findings.show_counts(found)
    if live is not None:
        request = live_run.Request(live, cancel_too, wait, linger)
        found += await _live_findings(checked, found, request, yes, as_json)
    if findings.is_faulty(found):
        raise typer.Exit(FAILED)


async def _live_findings(
    checked: CheckContext, found: list[Finding], request: live_run.Request, yes: bool, as_json: bool
) -> list[Finding]:
    """Return what a run through the real service shows. Raise CommandError where nothing could be seen of it."""
    for obstacle in live_run.obstacles(checked.given, found):
        raise CommandError(f"--live: {obstacle}")
    number = "Two tiny runs" if request.cancel_too else "A tiny run"
    question = f"\n{number} of agent {request.agent} at {checked.given.casedev_base_url}, paid for as any. Go on?"
    if not yes and not terminal.is_yes(question):
        return []
    with terminal.spinner("waiting for what the service does"):
        seen = await live_run.run(checked, request)
    if not as_json:
        print("\nWhat the service does:\n")
    findings.show(seen, as_json=as_json)
    if not as_json:
        findings.show_settings(seen)
    return seen
