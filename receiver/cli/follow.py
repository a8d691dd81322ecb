"""Runs as they come and change, by the feed of changes."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Mapping
from typing import Any

from receiver import clock, errors, shapes
from receiver.cli import asking, lines, opening
from storage import changes, following, ledger

#: Changes that are read at once, and seconds between two looks: the server commits in a process of its own.
PAGE = 500
LOOK = 0.25

Show = Callable[[shapes.RunLine, changes.Change], None]


async def follow(given: Mapping[str, Any], number: int | None, as_json: bool) -> None:
    """Prints each run of the filter when something happens to it, without end.

    It begins behind the change of that number, or with what is new from now on.
    """
    query = asking.parameters(shapes.RunFilter, given)
    show = _for_programs if as_json else lines.Feed().show
    async with opening.existing() as store:
        works, said = await asking.who_works(store)
        if not works:
            print(said, file=sys.stderr)
        last = await store.read(ledger.last_number)
        number = last if number is None else number
        if number > last:
            raise errors.BeyondTheEnd(number, last)
        while True:
            wish = following.Wish(query.wanted(clock.now()), of_runs=True)
            news = await store.read(following.look, number, wish, PAGE)
            latest = {each.run_id: each for each in news.shown if each.run_id is not None}
            for run_id, change in sorted(latest.items(), key=lambda item: item[1].number or 0):
                show(shapes.RunLine.model_validate(news.runs[run_id]), change)
            number = news.number
            if not news.has_more:
                await asyncio.sleep(LOOK)


def _for_programs(run: shapes.RunLine, change: changes.Change) -> None:
    """The run as lists give it, with what happened last: its number is where to go on from."""
    told = shapes.Change.of(change).model_dump(mode="json", by_alias=True, include={"number", "kind", "at"})
    print(json.dumps(run.model_dump(mode="json", by_alias=True) | {"change": told}), flush=True)
