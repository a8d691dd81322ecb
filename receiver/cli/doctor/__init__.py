"""The doctor: what is wrong with this set-up, and what to do; what the real service does undocumented."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from receiver.cli import loop, sentences

if TYPE_CHECKING:
    from receiver.cli.doctor import live as trial
    from receiver.cli.doctor.findings import Finding
    from receiver.cli.doctor.scene import Scene

VERBS = typer.Typer()


@VERBS.command()
def doctor(
    live: Annotated[
        str | None,
        typer.Option(metavar="AGENT", help="Send a tiny run of this agent too, and tell what the service does."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="With --live: do not ask before it is sent.")] = False,
    cancel_too: Annotated[
        bool, typer.Option("--cancel-too", help="With --live: send a second run and cancel it.")
    ] = False,
    wait: Annotated[
        float, typer.Option(metavar="SECONDS", min=1, help="With --live: how long a run may take.")
    ] = 600.0,
    linger: Annotated[
        float, typer.Option(metavar="SECONDS", min=0, help="With --live: how long a callback may take after it.")
    ] = 30.0,
    timeout: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.1, help="How long an exchange over the network may take.")
    ] = 10.0,
    as_json: Annotated[bool, typer.Option("--json", help="For programs: one JSON object a line.")] = False,
) -> None:
    """Look for what is wrong with this set-up, and say what to do.

    Nothing is changed or sent, unless --live is given: that sends one tiny
    run, which costs what a run costs. Exit code 1 where anything is a fault.

    \b
    Examples:
      runledger doctor
      runledger doctor --json
      runledger doctor --live agent_1
    """
    if live is None and (yes or cancel_too):
        raise sentences.Complaint("--yes and --cancel-too belong to --live AGENT", sentences.USAGE)
    if live is not None and not yes and not sys.stdin.isatty():
        raise sentences.Complaint("--live sends a run: add --yes where nobody can be asked", sentences.USAGE)
    loop.run(_examine(live, yes, cancel_too, wait, linger, timeout, as_json))


async def _examine(
    agent: str | None, yes: bool, cancel_too: bool, wait: float, linger: float, patience: float, as_json: bool
) -> None:
    from receiver.cli.doctor import findings, live, rounds, scene

    looked_at = scene.read(patience)
    with _progress("looking"):
        found = await rounds.made(looked_at)
    findings.show(found, as_json=as_json)
    if not as_json:
        findings.show_sum(found)
    if agent is not None:
        wanted = live.Wanted(agent, cancel_too, wait, linger)
        found += await _tried(looked_at, found, wanted, yes, as_json)
    if findings.is_faulty(found):
        raise typer.Exit(sentences.FAILED)


async def _tried(
    scene: Scene, found: list[Finding], wanted: trial.Wanted, yes: bool, as_json: bool
) -> list[Finding]:
    """What a run through the real service shows. Raises Complaint where it cannot be seen."""
    from receiver.cli.doctor import findings, live

    for obstacle in live.obstacles(scene.given, found):
        raise sentences.Complaint(f"--live: {obstacle}")
    number = "Two tiny runs" if wanted.cancel_too else "A tiny run"
    asked = f"\n{number} of agent {wanted.agent} at {scene.given.casedev_base_url}, paid for as any. Go on?"
    if not yes and not typer.confirm(asked, err=True):
        return []
    with _progress("waiting for what the service does"):
        seen = await live.tried(scene, wanted)
    if not as_json:
        print("\nWhat the service does:\n")
    findings.show(seen, as_json=as_json)
    if not as_json:
        findings.show_settings(seen)
    return seen


def _progress(what: str) -> contextlib.AbstractContextManager[object]:
    """A line that moves, where somebody looks."""
    from receiver.cli import tables

    out = tables.console(to_stderr=True)
    return out.status(what) if out.is_terminal else contextlib.nullcontext()
