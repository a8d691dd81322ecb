"""The stream of one run as it is drawn: the events, then the state in which they left it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Iterator
from itertools import islice
from typing import Any

from rich.text import Text

from receiver import backoff, clock, escaped, live, settings, shapes, telemetry
from receiver.api import events as streams
from receiver.api import runs
from receiver.cli import asking, figures, opening, tables
from receiver.upstream import client
from storage import database, states
from storage.events import HEARTBEAT, Event

#: Seconds between two looks whether the server has stored the result, and how long it has for that.
LOOK, PATIENCE = 0.25, 15.0
#: Fields that name things rather than tell something.
_NAMES = ("type", "role")
#: Texts of an event that are shown, and how deep they are looked for.
_TEXTS, _DEPTH = 3, 4


async def follow(run_id: str, as_json: bool) -> None:
    """Draws the events of a run, from the first one on, until it has ended; then the run."""
    given = settings.load()
    async with opening.existing(given) as store, _listening(given) as listen:
        is_live = await _is_live(store, run_id)
        query = shapes.EventQuery()
        answer = await asking.raw(store, streams.stream_events, run_id, query, listen=listen)
        assert answer.events is not None
        async with contextlib.aclosing(answer.events) as found:
            async for each in found:
                _show(each, as_json, is_live=is_live)
        _end(await _settled(store, run_id), as_json)


async def _is_live(store: database.Database, run_id: str) -> bool:
    """Whether the run has yet to end; with a word where nobody works on it."""
    run = await asking.ask(store, runs.get_run, shapes.FullRun, named=run_id)
    if run.status in states.TERMINAL:
        return False
    works, said = await asking.who_works(store)
    if not works:
        print(said, file=sys.stderr)
    return True


@contextlib.asynccontextmanager
async def _listening(given: settings.Settings) -> AsyncIterator[asking.Listen | None]:
    """A hub of our own: the upstream is asked from here, with the key of the settings, server or not."""
    key = given.casedev_api_key.get_secret_value()
    if not key:
        yield None
        return
    upstream, stop = client.Client(given.casedev_base_url, key), asyncio.Event()
    hub = live.Hub(backoff.Timing(), telemetry.Telemetry(), stop)
    running = asyncio.create_task(hub.run(upstream))
    await asyncio.sleep(0)  # it begins
    try:
        yield hub.listen
    finally:
        stop.set()
        await running
        await upstream.aclose()


async def _settled(store: database.Database, run_id: str) -> shapes.FullRun:
    """The run once its result is stored, or as it stands after a while."""
    looks = round(PATIENCE / LOOK)
    while True:
        run = await asking.ask(store, runs.get_run, shapes.FullRun, named=run_id)
        if run.status in states.TERMINAL or looks == 0:
            return run
        looks -= 1
        await asyncio.sleep(LOOK)


def _show(each: Event | str, as_json: bool, *, is_live: bool) -> None:
    """An event in a line: with the time, or where it is long past with its number."""
    if isinstance(each, str):
        if each != HEARTBEAT:
            print(f"runledger: {each}", file=sys.stderr)
    elif as_json:
        # JSON as it came, whose lines end between its parts only.
        data = each.data.replace("\n", " ")
        print(f'{{"id": {each.id}, "type": {json.dumps(each.type)}, "data": {data}}}', flush=True)
    else:
        out = tables.console()
        place = figures.time(clock.now()) if is_live else f"{each.id:>8}"
        line = Text.assemble((place, "dim"), "  ", (f"{each.type:<22}", "cyan"), "  ", gist(each))
        out.print(line, no_wrap=True, overflow="ellipsis", crop=True)
        out.file.flush()


def gist(event: Event) -> str:
    """What an event says, in one line.

    >>> gist(Event(1, "tool.started", '{"type":"tool.started","tool":"search","input":{"q":"lease"}}'))
    'search · lease'
    """
    try:
        said = json.loads(event.data)
    except RecursionError:  # deeper than what can be read from here
        return ""
    return figures.line(" · ".join(islice(_texts(said, _DEPTH), _TEXTS)))


def _texts(value: Any, depth: int) -> Iterator[str]:
    """The texts in a value that are no ids, those on top first."""
    if not isinstance(value, dict) or depth == 0:
        return
    told = [(name, each) for name, each in value.items() if not (name in _NAMES or name.lower().endswith("id"))]
    yield from (each for _, each in told if isinstance(each, str) and each)
    for _, each in told:
        yield from _texts(each, depth - 1)


def _end(run: shapes.FullRun, as_json: bool) -> None:
    if as_json:
        print(escaped.one_line(run.model_dump_json(by_alias=True)))
        return
    tables.console().print(tables.state(run.status), run.id, _measures(run))
    if run.status not in states.TERMINAL:
        print("What came back is not stored yet: that takes a server that runs.", file=sys.stderr)
    print(f"  runledger show {run.id}")


def _measures(run: shapes.FullRun) -> str:
    if run.duration_ms is None:
        return ""
    return f"took {figures.duration(run.duration_ms)}, cost {figures.dollars(run.cost_micros)}"
