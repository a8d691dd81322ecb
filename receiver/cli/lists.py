"""Many of a kind at once: runs, sums over them, deliveries."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from receiver import escaped
from receiver.cli import loop, options, sentences

if TYPE_CHECKING:
    from receiver.cli import asking

VERBS = typer.Typer()


@VERBS.command()
def runs(
    context: typer.Context,
    q: options.Question = None,
    status: options.Status = None,
    agent: options.Agent = None,
    model: options.Model = None,
    origin: options.Origin = None,
    settled_by: options.SettledBy = None,
    tag: options.Tag = None,
    accepted: options.Accepted = None,
    created: options.Created = None,
    settled: options.Settled = None,
    cost: options.Cost = None,
    duration: options.Duration = None,
    tokens: options.Tokens = None,
    tool: options.Tool = None,
    has: options.Has = None,
    sort: options.Sort = "-accepted",
    limit: options.Limit = 50,
    cursor: options.Cursor = None,
    all_of_them: options.All = False,
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
    from receiver import shapes
    from receiver.api import runs as handlers
    from receiver.cli import lines

    if follow:
        _follow(context, cursor, as_json)
        return
    given = options.chosen(context) | {"sort": sort, "limit": limit, "cursor": cursor, "count": count}
    loop.run(listed(handlers.list_runs, shapes.RunQuery, given, "runs", lines.runs, all_of_them, as_json))


def _follow(context: typer.Context, cursor: str | None, as_json: bool) -> None:
    from receiver.cli import follow

    for name in ("sort", "limit", "all_of_them"):
        if (source := context.get_parameter_source(name)) is not None and source.name == "COMMANDLINE":
            raise sentences.Complaint(
                f"--follow takes no --{name.partition('_')[0]}: it shows all", sentences.USAGE
            )
    if cursor is not None and not re.fullmatch(r"-1|\d{1,15}", cursor, re.ASCII):
        raise sentences.Complaint("--cursor: with --follow it is the number of a change, or -1", sentences.USAGE)
    with contextlib.suppress(KeyboardInterrupt):  # that is how it is meant to end
        loop.run(follow.follow(options.chosen(context), None if cursor is None else int(cursor), as_json))


@VERBS.command()
def stats(
    context: typer.Context,
    q: options.Question = None,
    by: Annotated[
        str,
        typer.Option(
            metavar="WHAT",
            help=f"{', '.join(options.GROUPINGS)}, or tag.<key>.",
            autocompletion=options.words(*options.GROUPINGS),
        ),
    ] = "status",
    status: options.Status = None,
    agent: options.Agent = None,
    model: options.Model = None,
    origin: options.Origin = None,
    settled_by: options.SettledBy = None,
    tag: options.Tag = None,
    accepted: options.Accepted = None,
    created: options.Created = None,
    settled: options.Settled = None,
    cost: options.Cost = None,
    duration: options.Duration = None,
    tokens: options.Tokens = None,
    tool: options.Tool = None,
    has: options.Has = None,
    as_json: options.Json = False,
) -> None:
    """Sum up runs: how many, what they cost, how long they took.

    By road it is told after how long their ends were known here.

    \b
    Examples:
      runledger stats --by model --created '>-30d'
      runledger stats --by hour --created 2026-11-23
      runledger stats --by tag.client 'status:completed created:>=2026-11-01'
      runledger stats --by failure_reason --created '>-7d'
      runledger stats --by day --tag matter=0042 --json
    """
    given = options.chosen(context) | {"by": by}
    loop.run(_stats(given, as_json))


async def _stats(given: Mapping[str, Any], as_json: bool) -> None:
    from receiver import shapes
    from receiver.api import stats as handlers
    from receiver.cli import asking, figures, lines, opening

    query = asking.parameters(shapes.StatsQuery, given)
    async with opening.existing() as store:
        found = await asking.ask(store, handlers.get_stats, shapes.Stats, query=query)
    if as_json:
        for row in found.stats:
            print(escaped.one_line(row.model_dump_json(by_alias=True)))
    else:
        lines.stats(found)
    if found.window is not None:
        since = figures.instant(found.window.since)
        told = f"Of the newest {figures.count(found.window.runs)} runs alone, since {since}"
        print(f"{told}: narrow it down by --created to be told of all.", file=sys.stderr)


@VERBS.command()
def deliveries(
    delivery: Annotated[
        str | None,
        typer.Argument(metavar="ID", help="One delivery, with headers and body.", show_default=False),
    ] = None,
    run: Annotated[
        str | None, typer.Option(metavar="RUN", help="Of one run, by our id or the upstream's.")
    ] = None,
    verdict: Annotated[
        str | None,
        typer.Option(
            metavar="VERDICT",
            help="accepted, duplicate or rejected.",
            autocompletion=options.words("accepted", "duplicate", "rejected"),
        ),
    ] = None,
    road: Annotated[
        str | None,
        typer.Option(
            metavar="ROAD", help="watcher or platform.", autocompletion=options.words("watcher", "platform")
        ),
    ] = None,
    limit: options.Limit = 50,
    cursor: options.Cursor = None,
    all_of_them: options.All = False,
    as_json: options.Json = False,
) -> None:
    """List what came to the public endpoints, newest first.

    \b
    Examples:
      runledger deliveries --verdict rejected
      runledger deliveries --run run_01hx --json
    """
    from receiver import shapes
    from receiver.api import deliveries as handlers
    from receiver.cli import lines

    if delivery is not None:
        loop.run(_delivery(delivery, as_json))
        return
    given = {"run": run, "verdict": verdict, "road": road, "limit": limit, "cursor": cursor}
    query = shapes.DeliveryQuery
    loop.run(listed(handlers.list_deliveries, query, given, "deliveries", lines.deliveries, all_of_them, as_json))


async def _delivery(delivery_id: str, as_json: bool) -> None:
    from receiver import shapes
    from receiver.api import deliveries as handlers
    from receiver.cli import asking, opening, sheets

    async with opening.existing() as store:
        found = await asking.ask(store, handlers.get_delivery, shapes.DeliveryWithBody, named=delivery_id)
    if as_json:
        print(escaped.one_line(found.model_dump_json(by_alias=True)))
    else:
        sheets.delivery(found)


async def listed(
    handler: asking.Handler,
    model: type[Any],
    given: Mapping[str, Any],
    noun: str,
    show: Callable[[list[Any]], None],
    all_of_them: bool,
    as_json: bool,
) -> None:
    """One page or all: objects for programs as they come, a table for people at the end."""
    from receiver.cli import asking, opening

    query, found, last, page = asking.parameters(model, given), list[Any](), None, None
    async with opening.existing() as store:
        async for page in asking.pages(store, handler, query, all_of_them=all_of_them):
            last = page.next_cursor
            for each in getattr(page, noun):
                if as_json:
                    print(escaped.one_line(each.model_dump_json(by_alias=True)))
                else:
                    found.append(each)
            if page.unreadable:
                named = ", ".join(page.unreadable)
                print(f"Left out, since what is stored of them cannot be read: {named}", file=sys.stderr)
    if not as_json:
        show(found)
        _tell_beside(page)
    if last and not all_of_them:
        print(f"There are more: --all, or --cursor {last}", file=sys.stderr)


def _tell_beside(page: Any) -> None:
    """How many there are in all, and how many cannot be found yet, where a page tells that."""
    from receiver.cli import figures

    if total := getattr(page, "total", None):
        print(f"{figures.count(total.count)}{'' if total.exact else '+'} in all.")
    if unindexed := getattr(page, "unindexed", None):
        print(f"{figures.count(unindexed)} runs are not indexed yet: their words are not found.", file=sys.stderr)
