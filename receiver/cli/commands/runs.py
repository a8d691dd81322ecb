"""Commands that show runs: lists, changes, sums, deliveries, one run with its steps, timeline and document."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from receiver import clock, errors, settings, signing_keys, timeouts
from receiver.api import deliveries as delivery_handlers
from receiver.api import runs as run_handlers
from receiver.api import stats as stats_handlers
from receiver.cli import agent_names, api_calls, event_loop, logs, options, target
from receiver.cli.errors import USAGE, CommandError
from receiver.cli.parameters import argument, flag, option
from receiver.cli.render import detail, json_lines, lists, results
from receiver.cli.render import format as render_format
from receiver.crypto import secret_box
from receiver.inbound import processing, webhook_secrets
from receiver.schemas import notification, query_parameters, responses
from storage import states
from storage.engine import column_types, database
from storage.ledger import entries
from storage.query import change_feed
from storage.stats import groups

if TYPE_CHECKING:
    from receiver.cli.remote import server

app = event_loop.commands()

#: Changes that are read at once, and seconds between two reads: the server commits in another process.
CHANGES, INTERVAL = 500, 0.25
#: Characters of a prompt that lists show.
SHOWN = 200
Show = Callable[..., None]
#: Steps that are read at once.
PAGE = 250
#: Where a delivery may come from.
SOURCES = (states.Source.WATCHER, states.Source.PLATFORM)


@app.command()
@options.filtered
async def runs(
    context: typer.Context,
    chosen: Mapping[str, Any],
    sort: options.Sort = "-accepted",
    limit: options.Limit = 50,
    cursor: options.Cursor = None,
    every_page: options.All = False,
    count: options.Count = False,
    follow: options.Follow = False,
    as_json: options.Json = False,
) -> None:
    """List runs, newest first.

    \b
    Examples:
      runledger runs --status failed,cancelled --created '>-7d'
      runledger runs 'status:failed cost:>0.50 created:>-7d "force majeure"'
      runledger runs --tag matter=0042 --sort -cost --limit 10
      runledger runs --cost '>0.50' --duration '>2m' --all --json
      runledger runs --follow --status failed,refused
      runledger runs --follow 'tag.client:acme "force majeure"'
      runledger runs --follow --json --cursor 4711
    """
    if follow:
        number = _demand_number(context, cursor)
        with event_loop.until_interrupted():
            await _follow(chosen, number, as_json)
        return
    given = {**chosen, "sort": sort, "limit": limit, "cursor": cursor, "count": count}
    query = api_calls.parameters(query_parameters.RunQuery, given)
    handler, shape = run_handlers.list_runs, responses.Runs
    await results.pages(handler, shape, query, "runs", lists.RUNS, every_page=every_page, as_json=as_json)


def _demand_number(context: typer.Context, cursor: str | None) -> int | None:
    """Return the number of the change after which to continue. Raise CommandError for options of a list."""
    for name, typed in (("sort", "--sort"), ("limit", "--limit"), ("every_page", "--all")):
        if (source := context.get_parameter_source(name)) is not None and source.name == "COMMANDLINE":
            raise CommandError(f"--follow takes no {typed}: it shows all", USAGE)
    if cursor is not None and not re.fullmatch(r"-1|\d{1,15}", cursor, re.ASCII):
        raise CommandError("--cursor: with --follow it is the number of a change, or -1", USAGE)
    return None if cursor is None else int(cursor)


async def _follow(chosen: Mapping[str, Any], number: int | None, as_json: bool) -> None:
    """Print each chosen run when it changes, without end.

    Begins after the change with that number, or with the next change.
    """
    logs.log_to_stderr()
    query = api_calls.parameters(query_parameters.RunFilter, chosen)
    show = _print_change if as_json else lists.Feed().show
    async with target.opened() as store:
        await api_calls.warn_without_worker(store)
        if not isinstance(store, database.Database):
            await _follow_server(store, query, number, show)
            return
        last = await store.read(entries.last_number)
        number = last if number is None else number
        if number > last:
            raise errors.CursorBeyondEnd(number, last)
        while True:
            request = change_feed.ChangeSelection(query.expression(clock.now()), runs_only=True)
            news = await store.read(change_feed.read_page, number, request, CHANGES)
            latest = {each.run_id: each for each in news.changes if each.run_id is not None}
            for run_id, change in sorted(latest.items(), key=lambda item: item[1].number or 0):
                found = responses.RunLine.model_validate(news.runs[run_id]._asdict())
                show(found, lists.Change(change.number or 0, change.kind, change.at))
            number = news.number
            if not news.has_more:
                await asyncio.sleep(INTERVAL)


async def _follow_server(
    remote: server.Server, query: query_parameters.RunFilter, number: int | None, show: Show
) -> None:
    """Print each chosen run when it changes, from the change feed of a server."""
    async for each in remote.changes(query, number):
        found = await api_calls.ask(remote, run_handlers.get_run, notification.FullRun, path_id=each["run"])
        cut = {"prompt": found.prompt and found.prompt[:SHOWN]}
        line = responses.RunLine.model_validate(found.model_dump() | cut)
        show(line, lists.Change(each["number"], each["kind"], datetime.fromisoformat(each["at"])))


def _print_change(run: responses.RunLine, change: lists.Change) -> None:
    """Print a run as lists give it, with its last change, whose number a later call continues from."""
    last = {"number": change.number, "kind": change.kind, "at": column_types.instant_text(change.at)}
    print(json.dumps(run.model_dump(mode="json", by_alias=True) | {"change": last}), flush=True)


@app.command()
@options.filtered
async def stats(
    chosen: Mapping[str, Any],
    by: Annotated[str, options.choice(groups.By, "GROUP", "{words}, or tag.<key>.")] = "status",
    as_json: options.Json = False,
) -> None:
    """Sum up runs: how many, what they cost, how long they took.

    With `--by source` the times run from the end of a run until it was settled.

    \b
    Examples:
      runledger stats --by model --created '>-30d'
      runledger stats --by hour --created 2026-11-23
      runledger stats --by tag.client 'status:completed created:>=2026-11-01'
      runledger stats --by failure_reason --created '>-7d'
      runledger stats --by day --tag matter=0042 --json
    """
    query = api_calls.parameters(query_parameters.StatsQuery, {**chosen, "by": by})
    async with target.opened() as store:
        found = await api_calls.ask(store, stats_handlers.get_stats, responses.Stats, query=query)
        rows: Sequence[responses.StatsRow] = found.stats
        if found.by == groups.By.AGENT and not as_json:
            rows = await agent_names.in_rows(store, rows, "key")
    results.rows(rows, lists.stats(found), as_json=as_json)
    if found.window is not None:
        count, since = render_format.count(found.window.runs), render_format.instant(found.window.since)
        print(f"Of the newest {count} runs alone, since {since}: --created chooses older ones.", file=sys.stderr)


@app.command()
async def deliveries(
    delivery: Annotated[str | None, argument("ID", "One delivery, with headers and body.")] = None,
    run: options.OfRun = None,
    verdict: Annotated[str | None, options.choice(states.Verdict, "VERDICT")] = None,
    source: Annotated[str | None, options.choice(SOURCES, "SOURCE")] = None,
    limit: options.Limit = 50,
    cursor: options.Cursor = None,
    every_page: options.All = False,
    process: Annotated[bool, flag("--process", "Process that delivery again.")] = False,
    as_json: options.Json = False,
) -> None:
    """List requests to the public endpoints, newest first.

    --process accepts a rejected event that a secret verifies by now, and
    fetches the run of an accepted delivery again.

    \b
    Examples:
      runledger deliveries --verdict rejected
      runledger deliveries --run run_01hx --json
      runledger deliveries 019a2f7c-0000-7000-8000-000000000000 --process
    """
    if process:
        await _process(delivery, as_json)
        return
    if delivery is not None:
        one, answer = delivery_handlers.get_delivery, responses.DeliveryWithBody
        async with target.opened() as store:
            found = await api_calls.ask(store, one, answer, path_id=delivery)
        results.one(found, detail.delivery, as_json=as_json)
        return
    given = {"run": run, "verdict": verdict, "source": source, "limit": limit, "cursor": cursor}
    query = api_calls.parameters(query_parameters.DeliveryQuery, given)
    handler, shape = delivery_handlers.list_deliveries, responses.Deliveries
    await results.pages(
        handler, shape, query, "deliveries", lists.DELIVERIES, every_page=every_page, as_json=as_json
    )


async def _process(delivery: str | None, as_json: bool) -> None:
    """Process a delivery again. Raise CommandError where none is named."""
    if delivery is None:
        raise CommandError("--process needs the ID of a delivery", USAGE)
    handler, shape = delivery_handlers.process_delivery, responses.Delivery
    async with target.opened() as store:
        context = _processor(store) if isinstance(store, database.Database) else {}
        found = await api_calls.ask(store, handler, shape, path_id=delivery, changes=context)
    if as_json:
        json_lines.model(found)
        return
    run = f"belongs to run {found.run_id}" if found.run_id else "names no run that is known here"
    print(f"The delivery {found.id} is {found.verdict}, and {run}.")


def _processor(store: database.Database) -> dict[str, Any]:
    """Return what processes deliveries, with the secrets of the settings."""
    given = settings.load()
    box = secret_box.SecretBox(signing_keys.of_addresses(given))
    texts = [each.get_secret_value() for each in given.webhook_secrets]
    known = webhook_secrets.WebhookSecrets(
        store, box, texts, given.webhook_key_encoding, timeouts.Timing(), lambda _: None
    )
    return {"process": processing.Processor(store, known)}


@app.command()
async def show(
    run: options.Run,
    follow: Annotated[bool, flag("--follow", "Print the events of its stream until it has ended.")] = False,
    as_json: options.Json = False,
) -> None:
    """Show one run with its prompt and its result.

    With --follow its events come from Case.dev with your key, or from the
    database where they were captured.

    \b
    Examples:
      runledger show run_01hx
      runledger show run_01hx --follow
    """
    if follow:
        # The upstream's client is slow to import, and needed only here.
        from receiver.cli.commands import events

        with event_loop.until_interrupted():
            await events.follow(run, as_json)
        return
    async with target.opened() as store:
        found = await api_calls.ask(store, run_handlers.get_run, notification.FullRun, path_id=run)
        if not as_json:
            found = await agent_names.in_run(store, found)
    results.one(found, detail.run, as_json=as_json)


@app.command()
async def steps(
    run: options.Run,
    limit: Annotated[int | None, option("N", "The first N steps; default: all.", min=1)] = None,
    as_json: options.Json = False,
) -> None:
    """List what the agent thought and did, step by step.

    \b
    Example:
      runledger steps run_01hx --json
    """
    found: list[responses.Step] = []
    query = query_parameters.StepQuery(limit=min(limit or PAGE, PAGE))
    async with target.opened() as store:
        async for page in api_calls.pages(
            store, run_handlers.list_steps, responses.Steps, query, path_id=run, every_page=True
        ):
            found += page.steps
            if limit is not None and len(found) >= limit:
                break
    results.rows(found[:limit], lists.STEPS, as_json=as_json)


@app.command()
async def timeline(run: options.Run, as_json: options.Json = False) -> None:
    """List what happened to a run, oldest first.

    \b
    Example:
      runledger timeline run_01hx
    """
    async with target.opened() as store:
        found = await api_calls.ask(store, run_handlers.get_timeline, responses.Timeline, path_id=run)
    results.rows(found.timeline, lists.TIMELINE, as_json=as_json)


@app.command()
async def document(
    run: options.Run,
    version: Annotated[int | None, option("N", "Which version; default: the last one.", min=1)] = None,
) -> None:
    """Print the upstream's answer, byte for byte.

    \b
    Examples:
      runledger document run_01hx > run_01hx.json
      runledger document run_01hx | jq .result
    """
    query = query_parameters.DocumentQuery(version=version)
    async with target.opened() as store:
        answer = await api_calls.call(store, run_handlers.get_document, run, query)
    assert isinstance(answer.body, bytes)
    sys.stdout.buffer.write(answer.body)
    sys.stdout.buffer.flush()
