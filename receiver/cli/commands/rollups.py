"""Commands that verify and rebuild the rollups."""

from __future__ import annotations

from collections.abc import Mapping

import typer

from receiver.cli import event_loop, open_database, options
from receiver.cli.errors import FAILED
from receiver.cli.render import format as render_format
from receiver.cli.render import json_lines, results
from storage.stats import rollups

app = event_loop.commands(no_args_is_help=True, help="Check and rebuild the sums over ended runs.")
#: Differences that people are shown.
SHOWN = 20


@app.command()
async def verify(as_json: options.Json = False) -> None:
    """Count all ended runs and compare them with the rollups; exit code 1 if they differ.

    It may run beside a server. --json prints a line for each difference.

    \b
    Example:
      runledger rollups verify
    """
    async with open_database.existing() as store:
        found = await store.read(rollups.verify)
    if as_json:
        for each in found.differences:
            json_lines.mapping(json_lines.fields(each, "table", "key", "stored", "counted"))
    elif found.differences:
        _show(found)
    else:
        print(f"All {render_format.count(found.rows)} rows are what the runs add up to.")
    if found.differences:
        raise typer.Exit(FAILED)


def _show(found: rollups.Verified) -> None:
    for each in found.differences[:SHOWN]:
        key = ", ".join(f"{name} {render_format.line(str(value))}" for name, value in each.key.items())
        stored, counted = _sums(each.stored, each.counted), _sums(each.counted, each.stored)
        print(f"{each.table} ({key}): {stored} is kept, {counted} is right")
    print(f"{render_format.count(len(found.differences))} rows are wrong: runledger rollups rebuild")


def _sums(sums: Mapping[str, int] | None, other: Mapping[str, int] | None) -> str:
    """Return those sums that differ from the others."""
    if sums is None:
        return "nothing"
    return ", ".join(f"{name} {value}" for name, value in sums.items() if other is None or other[name] != value)


@app.command()
async def rebuild(as_json: options.Json = False) -> None:
    """Write the rollups again from all ended runs.

    It is one transaction, for which the writes of a running server wait.

    \b
    Example:
      runledger rollups rebuild
    """
    async with open_database.existing() as store:
        rows = await store.write(rollups.rebuild)
    results.sentence({"rows": rows}, f"{render_format.count(rows)} rows were made.", as_json=as_json)
