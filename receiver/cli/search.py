"""The index of words: how far it is, and making it anew."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from receiver.cli import loop, options

if TYPE_CHECKING:
    from storage import database

VERBS = typer.Typer(no_args_is_help=True, help="Look after the index of words.")
#: Seconds that somebody else is left to index.
PAUSE = 0.2


@VERBS.command()
def status(as_json: options.Json = False) -> None:
    """Tell how many runs are not to be found by their words yet.

    \b
    Example:
      runledger search status
    """
    loop.run(_status(as_json))


async def _status(as_json: bool) -> None:
    from receiver import clock
    from receiver.cli import figures, opening
    from storage import columns, search

    async with opening.existing() as store:
        lag = await store.read(search.lag)
    if as_json:
        print(json.dumps({"runs": lag.runs, "since": None if lag.since is None else columns.text(lag.since)}))
    elif lag.since is None:
        print("All runs are indexed.")
    else:
        print(f"{figures.count(lag.runs)} runs wait, the first since {figures.age(lag.since, clock.now())}.")


@VERBS.command()
def rebuild(
    later: Annotated[bool, typer.Option("--later", help="Leave the indexing to the server.")] = False,
    as_json: options.Json = False,
) -> None:
    """Forget the index and make it anew. Until it is done words find less than there is.

    \b
    Examples:
      runledger search rebuild
      runledger search rebuild --later --json
    """
    loop.run(_rebuild(later, as_json))


async def _rebuild(later: bool, as_json: bool) -> None:
    from receiver import clock
    from receiver.cli import figures, opening
    from storage import search

    async with opening.existing() as store:
        wished = await store.write(search.rebuild, clock.now())
        if not later:
            await _index(store, wished)
        left = (await store.read(search.lag)).runs
    if as_json:
        print(json.dumps({"runs": wished, "waiting": left}))
        return
    waiting = f"; {figures.count(left)} wait for the server" if left else ""
    print(f"{figures.count(wished)} runs are indexed anew{waiting}.")


async def _index(store: database.Database, wished: int) -> None:
    """Indexes all that waits, beside a server that may do the same."""
    import asyncio

    from receiver import indexer
    from receiver.cli import tables
    from storage import passages, search

    with tables.progress() as bar:
        task = bar.add_task("indexing", total=wished)
        while batch := await store.read(search.waiting, indexer.GROUP):
            done = [await store.write(search.index, piece) for piece in passages.slices(batch)]
            if not any(done):
                await asyncio.sleep(PAUSE)
            left = (await store.read(search.lag)).runs
            bar.update(task, completed=max(0, wished - left))
