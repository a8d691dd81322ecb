"""The sums that are kept over ended runs: whether they are right, and making them anew."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

import typer

from receiver.cli import loop, options

if TYPE_CHECKING:
    from storage import rollups

VERBS = typer.Typer(no_args_is_help=True, help="Look after the sums over ended runs.")
#: Differences that people are shown.
SHOWN = 20


@VERBS.command()
def verify(as_json: options.Json = False) -> None:
    """Count all ended runs and compare with what is kept; exit code 1 where they differ.

    It may run beside a server. Programs get a line for each difference.

    \b
    Example:
      runledger rollups verify
    """
    loop.run(_verify(as_json))


async def _verify(as_json: bool) -> None:
    from receiver.cli import figures, opening
    from storage import rollups as kept

    async with opening.existing() as store:
        found = await store.read(kept.verify)
    if as_json:
        for each in found.differences:
            print(
                json.dumps({"table": each.table, "key": each.key, "stored": each.stored, "counted": each.counted})
            )
    elif not found.differences:
        print(f"All {figures.count(found.rows)} rows are what the runs add up to.")
    else:
        _tell(found)
    if found.differences:
        raise typer.Exit(1)


def _tell(found: rollups.Verified) -> None:
    from receiver.cli import figures

    for each in found.differences[:SHOWN]:
        key = ", ".join(f"{name} {figures.line(str(value))}" for name, value in each.key.items())
        kept, right = _sums(each.stored, each.counted), _sums(each.counted, each.stored)
        print(f"{each.table} ({key}): {kept} is kept, {right} is right")
    print(f"{figures.count(len(found.differences))} rows are wrong: runledger rollups rebuild")


def _sums(one: Mapping[str, int] | None, other: Mapping[str, int] | None) -> str:
    """What one says otherwise than the other."""
    if one is None:
        return "nothing"
    return ", ".join(f"{name} {value}" for name, value in one.items() if other is None or other[name] != value)


@VERBS.command()
def rebuild(as_json: options.Json = False) -> None:
    """Count all ended runs anew.

    It is one transaction: beside a server, what it writes waits meanwhile.

    \b
    Example:
      runledger rollups rebuild
    """
    loop.run(_rebuild(as_json))


async def _rebuild(as_json: bool) -> None:
    from receiver.cli import figures, opening
    from storage import rollups as kept

    async with opening.existing() as store:
        rows = await store.write(kept.rebuild)
    print(json.dumps({"rows": rows}) if as_json else f"{figures.count(rows)} rows were made anew.")
