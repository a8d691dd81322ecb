"""The full-text index: how many runs it lacks, and rebuilding it."""

from __future__ import annotations

import asyncio
from typing import Annotated

from receiver import clock
from receiver.cli import event_loop, open_database, options
from receiver.cli.parameters import flag
from receiver.cli.render import format as render_format
from receiver.cli.render import progress, results
from receiver.worker import indexer
from storage.engine import database
from storage.search import index, passages

app = event_loop.commands(no_args_is_help=True, help="Check and rebuild the full-text index.")
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
    waiting = f"{render_format.count(lag.runs)} runs wait, since {render_format.age(lag.since, clock.now())}."
    text = "All runs are indexed." if lag.since is None else waiting
    results.sentence({"runs": lag.runs, "since": lag.since}, text, as_json=as_json)


@app.command()
async def rebuild(
    later: Annotated[bool, flag("--later", "Leave the indexing to the server.")] = False,
    as_json: options.Json = False,
) -> None:
    """Delete the index and build it again. Until that is done, searches miss runs.

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
    rest = f"; {render_format.count(waiting)} wait for the server" if waiting else ""
    text = f"{render_format.count(runs)} runs are indexed again{rest}."
    results.sentence({"runs": runs, "waiting": waiting}, text, as_json=as_json)


async def _index(store: database.Database, runs: int) -> None:
    """Index all runs that wait, beside a server that may do the same."""
    with progress.bar("indexing", runs) as update:
        while batch := await store.read(index.queued, indexer.BATCH):
            indexed = [await store.write(index.add, piece) for piece in passages.slices(batch)]
            if not any(indexed):
                await asyncio.sleep(PAUSE)
            left = (await store.read(index.lag)).runs
            update(completed=max(0, runs - left))
