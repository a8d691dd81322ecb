"""Print the events of a run's stream as they arrive, then the state of the run."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Iterator
from functools import partial
from itertools import islice
from typing import Any

from rich.text import Text

from receiver import clock, settings, telemetry, timeouts
from receiver.api import run_events, runs
from receiver.cli import api_calls, event_loop, logs, target
from receiver.cli.render import format as render_format
from receiver.cli.render import json_lines, table, terminal
from receiver.schemas import notification, query_parameters
from receiver.streams import broker as streams_broker
from receiver.upstream import client
from storage import states
from storage.engine import database
from storage.repositories.stream_events import HEARTBEAT, Event

#: Seconds that the server has to store the result.
PATIENCE = 15.0
#: Fields that hold names rather than content.
_NAMES = ("type", "role")
#: Texts of an event that are shown, and how many levels deep they may lie.
_TEXTS, _DEPTH = 3, 4


async def follow(run_id: str, as_json: bool) -> None:
    """Print the events of a run, from the first one on, until it has ended; then the run."""
    async with target.opened() as store:
        read = partial(api_calls.ask, store, runs.get_run, notification.FullRun, path_id=run_id)
        is_live = (await read()).status not in states.TERMINAL
        if is_live:
            await api_calls.warn_without_worker(store)
        if isinstance(store, database.Database):
            await _show_events(store, run_id, as_json, is_live=is_live)
        else:
            async for each in store.events(run_id):
                _show(each, as_json, is_live=is_live)
        _show_end(await event_loop.until(lambda run: run.status in states.TERMINAL, read, PATIENCE), as_json)


async def _show_events(store: database.Database, run_id: str, as_json: bool, *, is_live: bool) -> None:
    """Print the events that the upstream sends, or that were captured."""
    async with _streams(settings.load()) as open_stream:
        query = query_parameters.EventQuery()
        answer = await api_calls.call(store, run_events.stream_events, run_id, query, open_stream=open_stream)
        assert answer.events is not None
        async with contextlib.aclosing(answer.events) as found:
            async for each in found:
                _show(each, as_json, is_live=is_live)


@contextlib.asynccontextmanager
async def _streams(given: settings.Settings) -> AsyncIterator[api_calls.OpenStream | None]:
    """Run a broker of streams in this process, which asks the upstream with the key of the settings."""
    key = given.casedev_api_key.get_secret_value()
    if not key:
        yield None
        return
    logs.log_to_stderr()
    stop = asyncio.Event()
    broker = streams_broker.Broker(timeouts.Timing(), telemetry.Telemetry(), stop)
    async with contextlib.aclosing(client.Client(given.casedev_base_url, key)) as upstream:
        running = asyncio.create_task(broker.run(upstream))
        await asyncio.sleep(0)  # lets the broker start
        try:
            yield broker.listen
        finally:
            stop.set()
            await running


def _show(event: Event | str, as_json: bool, *, is_live: bool) -> None:
    """Print an event in one line, with the time, or with its number where the run ended before."""
    if isinstance(event, str):
        if event != HEARTBEAT:
            print(f"runledger: {event}", file=sys.stderr)
    elif as_json:
        # The upstream's JSON is printed unchanged, since a line break can only occur between its tokens.
        data = event.data.replace("\n", " ")
        print(f'{{"id": {event.id}, "type": {json.dumps(event.type)}, "data": {data}}}', flush=True)
    else:
        out = terminal.console()
        place = render_format.time(clock.now()) if is_live else f"{event.id:>8}"
        line = Text.assemble((place, "dim"), "  ", (f"{event.type:<22}", "cyan"), "  ", gist(event))
        out.print(line, no_wrap=True, overflow="ellipsis", crop=True)
        out.file.flush()


def gist(event: Event) -> str:
    """Return the texts of an event, in one line.

    >>> gist(Event(1, "tool.started", '{"type":"tool.started","tool":"search","input":{"q":"lease"}}'))
    'search · lease'
    """
    try:
        data = json.loads(event.data)
    except RecursionError:  # nested too deeply for the parser
        return ""
    return render_format.line(" · ".join(islice(_texts(data, _DEPTH), _TEXTS)))


def _texts(value: Any, depth: int) -> Iterator[str]:
    """Yield the texts in a value that are no ids, those of the upper levels first."""
    if not isinstance(value, dict) or depth == 0:
        return
    fields = [(name, each) for name, each in value.items() if not (name in _NAMES or name.lower().endswith("id"))]
    yield from (each for _, each in fields if isinstance(each, str) and each)
    for _, each in fields:
        yield from _texts(each, depth - 1)


def _show_end(run: notification.FullRun, as_json: bool) -> None:
    if as_json:
        json_lines.model(run)
        return
    took, cost = render_format.duration(run.duration_ms), render_format.dollars(run.cost_micros)
    measures = "" if run.duration_ms is None else f"took {took}, cost {cost}"
    terminal.console().print(table.state(run.status), run.id, measures)
    if run.status not in states.TERMINAL:
        print("The result is not stored yet: that takes a running server.", file=sys.stderr)
    print(f"  runledger show {run.id}")
