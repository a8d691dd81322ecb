"""The command that writes evidence about runs: one ZIP that others check without Runledger."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Annotated

from receiver import settings, signing_keys
from receiver.api import runs as run_handlers
from receiver.cli import api_calls, event_loop, open_database, options
from receiver.cli.errors import FAILED, USAGE, CommandError
from receiver.cli.parameters import argument, flag, option
from receiver.cli.render import json_lines, progress
from receiver.evidence import archive, signed
from receiver.schemas import query_parameters, responses
from receiver.verifier.evidence import check, values
from storage.engine import database
from storage.repositories import runs as run_rows

app = event_loop.commands()

PART = ".part"

Runs = Annotated[list[str] | None, argument("RUN", "Runs, by our ids or the upstream's.")]
Chosen = Annotated[str | None, option("QUESTION", "In place of RUN: runs by the filter language.")]
Only = Annotated[
    str | None, option("NAMES", f"Disclose these values alone, by commas: {', '.join(values.NAMES)}.")
]
Out = Annotated[Path, option("FILE", "The ZIP.", "--out", "-o")]


@app.command()
async def evidence(
    run: Runs = None,
    query: Chosen = None,
    only: Only = None,
    out: Out = Path("evidence.zip"),
    force: Annotated[bool, flag("--force", "Write over a file that is there.")] = False,
    as_json: options.Json = False,
) -> None:
    """Write a ZIP that proves what happened to runs, for anybody to check.

    It has what is stored of them, the ledger's entries with their proofs, a
    page to read and print, and a verifier that needs Python alone. With --only
    all other values are withheld: the proofs hold all the same.

    \b
    Examples:
      runledger evidence run_01hx
      runledger evidence run_01hx --only prompt,output --out for-acme.zip
      runledger evidence --query 'tag.matter:0042' --out matter-0042.zip
    """
    names = _names(only)
    if out.is_dir():
        raise CommandError(f"{out} is a folder: name a file in it", USAGE)
    if not out.parent.is_dir():
        raise CommandError(f"there is no folder {out.parent}", USAGE)
    if out.exists() and not force:
        raise CommandError(f"{out} is there already: --force writes over it", USAGE)
    given = settings.load()
    policy = signing_keys.policy(given)
    part = out.with_name(out.name + PART)
    async with open_database.existing(given) as store:
        run_ids = await _chosen(store, run, query)
        newest = await signed.checkpoint(store, run_ids, policy)
        with progress.bar("collecting", len(run_ids)) as update:
            await archive.write(store, part, run_ids, newest, policy, names, lambda done: update(completed=done))
    report = await asyncio.to_thread(check.check, part)
    part.replace(out)
    _show(out, report, as_json)


def _show(out: Path, report: check.Report, as_json: bool) -> None:
    """Print what was found. Raise CommandError where the store is not what the ledger recorded."""
    if as_json:
        json_lines.mapping({"file": str(out), **report.as_json()})
    else:
        print(f"{len(report.runs):,} {'run is' if len(report.runs) == 1 else 'runs are'} in {out}.")
        print("\n".join(report.lines()))
    if not report.is_ok:
        raise CommandError("what is stored is not what the ledger recorded: see above", FAILED)


def _names(only: str | None) -> Collection[str] | None:
    """Return the names of the values to disclose; None for all. Raise CommandError."""
    if only is None:
        return None
    names = {name.strip() for name in only.split(",")}
    for unknown in sorted(names.difference(values.NAMES)):
        raise CommandError(f"--only {unknown}: the names are {', '.join(values.NAMES)}", USAGE)
    return names


async def _chosen(store: database.Database, named: Sequence[str] | None, query: str | None) -> list[str]:
    """Return our ids of the chosen runs. Raise CommandError."""
    if bool(named) == bool(query):
        raise CommandError("name runs, or choose them by --query: one of the two", USAGE)
    found = await _named(store, named or ()) if query is None else await _matching(store, query)
    if not found:
        raise CommandError("no run matches")
    return list(dict.fromkeys(found))


async def _named(store: database.Database, named: Sequence[str]) -> list[str]:
    found = []
    for each in named:
        run = await store.read(run_rows.find, each)
        if run is None or not run.is_named(each):
            raise CommandError(f"there is no run {each}")
        found.append(run.id)
    _demand_few(len(found))
    return found


async def _matching(store: database.Database, query: str) -> list[str]:
    given = api_calls.parameters(query_parameters.RunQuery, {"q": query, "sort": "accepted", "limit": 250})
    found: list[str] = []
    async for page in api_calls.pages(store, run_handlers.list_runs, responses.Runs, given, every_page=True):
        found += [run.id for run in page.runs]
        _demand_few(len(found))
    return found


def _demand_few(count: int) -> None:
    if count > archive.MOST_RUNS:
        raise CommandError(f"more than {archive.MOST_RUNS:,} runs are chosen: make several files")
