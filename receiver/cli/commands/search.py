"""The full-text index: how many runs it lacks, and rebuilding it."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from receiver import clock
from receiver.cli import event_loop, open_database, options
from receiver.cli.render import format as render_format
from receiver.cli.render import json_lines, terminal
from receiver.worker import indexer
from storage.engine import database
from storage.search import index, passages

app = event_loop.Commands(no_args_is_help=True, help="Check and rebuild the full-text index.")
#: Seconds to wait where another process indexes the same runs.
PAUSE = 0.2


@app.command()
async def status(as_json: options.Json = False) -> None:
    """Show how many runs are not indexed yet.

    \b
    Example:
      runledger search status
    """
    async with open_database.existing() as store:
        lag = await store.read(index.lag)
    if as_json:
        json_lines.mapping({"runs": lag.runs, "since": json_lines.instant(lag.since)})
    elif lag.since is None:
        print("All runs are indexed.")
    else:
        print(f"{render_format.count(lag.runs)} runs wait, since {render_format.age(lag.since, clock.now())}.")


@app.command()
async def rebuild(
    later: Annotated[bool, typer.Option("--later", help="Leave the indexing to the server.")] = False,
    as_json: options.Json = False,
) -> None:
    """Delete the index and make it anew. Until that is done, searches miss runs.

    \b
    Examples:
      runledger search rebuild
      runledger search rebuild --later --json
    """
    async with open_database.existing() as store:
        runs = await store.write(index.rebuild, clock.now())
        if not later:
            await _index(store, runs)
        waiting = (await store.read(index.lag)).runs
    if as_json:
        json_lines.mapping({"runs": runs, "waiting": waiting})
        return
    rest = f"; {render_format.count(waiting)} wait for the server" if waiting else ""
    print(f"{render_format.count(runs)} runs are indexed anew{rest}.")


async def _index(store: database.Database, runs: int) -> None:
    """Index all runs that wait, beside a server that may do the same."""
    with terminal.bar("indexing", runs) as update:
        while batch := await store.read(index.queued, indexer.BATCH):
            indexed = [await store.write(index.add, piece) for piece in passages.slices(batch)]
            if not any(indexed):
                await asyncio.sleep(PAUSE)
            left = (await store.read(index.lag)).runs
            update(completed=max(0, runs - left))
