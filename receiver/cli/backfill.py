"""Taking over what the upstream has from before Runledger."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from receiver.cli import loop, options, sentences

if TYPE_CHECKING:
    from receiver import settings, tasks
    from storage import backfills, database

VERBS = typer.Typer()

#: Seconds between two looks at what is still to be fetched.
LOOK = 0.25
#: Ids of one kind that people are told.
NAMED = 20

#: Tells how many of how many are done, and what is being done.
Show = Callable[[int, int | None, str], None]


@VERBS.command()
def backfill(
    agent: Annotated[str | None, typer.Option(metavar="ID", help="Runs of this agent only.")] = None,
    since: Annotated[
        str | None, typer.Option(metavar="AGE|DATE", help="Created in the last 30d, or since 2026-01-01 (UTC).")
    ] = None,
    status: Annotated[
        list[str] | None, typer.Option(metavar="STATE", help="completed, failed, cancelled; several by commas.")
    ] = None,
    restart: Annotated[bool, typer.Option("--restart", help="Walk from the newest run again.")] = False,
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="Only walk the list; the server fetches the runs.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Store the finished runs that Case.dev has from before.

    It walks the upstream's list and notes each page as done, so that the same
    command goes on where Ctrl-C left it; runs that are known are passed over.
    Then the running server fetches what is new, or where there is none this
    command. A rate limit is waited out. Runs that are in the list and cannot be
    fetched are named at the end, and it exits with 1; a server goes on trying.
    A list that leads nowhere ends it with the place. Your backend is told of
    none of these runs.

    \b
    Examples:
      runledger backfill --since 30d
      runledger backfill --agent agent_1 --status completed,failed
    """
    try:
        loop.run(_backfill(agent, since, _statuses(status), restart, no_wait, as_json))
    except KeyboardInterrupt:
        raise sentences.Complaint("stopped; the same command goes on from here") from None


def _statuses(given: list[str] | None) -> str | None:
    """The states, sorted and each once. Raises Complaint."""
    ends = ("cancelled", "completed", "failed")
    named = {each.strip() for text in given or () for each in text.split(",")}
    if strange := sorted(named.difference(ends)):
        raise sentences.Complaint(f"--status: {strange[0]!r} is none of {', '.join(ends)}", sentences.USAGE)
    return ",".join(sorted(named)) or None


async def _backfill(
    agent: str | None, since: str | None, status: str | None, restart: bool, no_wait: bool, as_json: bool
) -> None:
    from receiver import clock, settings
    from receiver.cli import opening
    from storage import backfills, spans

    given, now = settings.load(), clock.now()
    settings.demand_api_key(given)
    earliest = None if since is None else spans.moment("since", since, now)
    asked = backfills.Walk(_question(agent, since, status), agent, status, earliest, None, 0, 0, now, None)
    async with opening.made(given) as store, _hands(given, store) as context:
        walk = await store.write(backfills.begin, asked, anew=restart)
        was_left = walk.started_at != now
        with _progress() as show:
            walk, stuck = await _walk(context, walk, show)
            if not no_wait:
                await _fetch(context, given.jobs, show)
        outcome, left = await store.read(backfills.outcome, walk.started_at), await store.read(backfills.left)
        if as_json:
            _tell_programs(walk, was_left, outcome, left, stuck)
        else:
            await _tell_people(store, walk, was_left, outcome, left, waited=not no_wait)
    if stuck is not None:
        raise sentences.Complaint(_stopped(walk, stuck))
    if left.failing and not no_wait:
        raise typer.Exit(sentences.FAILED)


def _stopped(walk: backfills.Walk, stuck: str) -> str:
    """Where the walk stopped for good, and what to do."""
    place = "at its beginning" if walk.cursor is None else f"behind {walk.cursor}"
    return (
        f"{stuck}. The walk stopped {place}, older runs were not seen: the same command tries again from there, "
        "with --restart from the newest run; what it has taken is kept"
    )


def _question(agent: str | None, since: str | None, status: str | None) -> str:
    """What is asked for as it was typed: asked again tomorrow, `30d` still is the same walk."""
    import hashlib

    return hashlib.sha256(json.dumps([agent, since, status]).encode()).hexdigest()


@contextlib.asynccontextmanager
async def _hands(given: settings.Settings, store: database.Database) -> AsyncIterator[tasks.Context]:
    """What the tasks work with. Nothing is watched: all that is taken has ended."""
    from receiver import backoff, clock, tasks, telemetry
    from receiver.cli import opening
    from receiver.upstream import client

    ticking = await opening.shared_clock(store)
    telemetry.configure("console", "error")  # what is wrong is told at the end
    told, timing = telemetry.Telemetry(), backoff.Timing()
    upstream = client.Client(
        given.casedev_base_url,
        given.casedev_api_key.get_secret_value(),
        observe=lambda call: told.called(call.route, call.status, call.seconds, call.limits, clock.now()),
        connections=given.jobs,
    )
    try:
        yield tasks.Context(store, upstream, timing, ticking, lambda run_id: None, told, timing.sweep)
    finally:
        await upstream.aclose()


async def _walk(context: tasks.Context, walk: backfills.Walk, show: Show) -> tuple[backfills.Walk, str | None]:
    """The walk as far as it comes, and why it comes no further where the list leads nowhere."""
    from receiver import errors
    from receiver.tasks import backfilling

    show(0, None, "walking the list")
    try:
        async for further in backfilling.walk(context, walk):
            walk = further
            show(walk.seen, None, "walking the list")
    except errors.BadPaging as failure:
        return walk, str(failure)
    return walk, None


async def _fetch(context: tasks.Context, places: int, show: Show) -> None:
    """Until nothing is left but what keeps failing: by the worker, or where there is none by our own hands."""
    import asyncio
    import secrets

    from receiver.cli import asking
    from receiver.tasks import backfilling
    from storage import backfills

    owner, total = secrets.token_hex(6), 0
    while True:
        left = await context.database.read(backfills.left)
        total = max(total, left.open)
        works, said = await asking.who_works(context.database)
        show(total - left.open, total, said if works else "fetching")
        if left.open <= len(left.failing):
            return
        if works or not await backfilling.fetch(context, owner, places):
            await asyncio.sleep(LOOK)


@contextlib.contextmanager
def _progress() -> Iterator[Show]:
    """A bar, where somebody looks."""
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn

    from receiver.cli import tables

    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with tables.progress(*columns) as progress:
        bar = progress.add_task("", total=None)
        yield lambda done, total, what: progress.update(bar, completed=done, total=total, description=what)


def _tell_programs(
    walk: backfills.Walk, was_left: bool, outcome: backfills.Outcome, left: backfills.Left, stuck: str | None
) -> None:
    told = {
        "seen": walk.seen,
        "new": walk.taken,
        "known": walk.seen - walk.taken,
        "stored": outcome.stored,
        "gone": outcome.gone,
        "goneIds": outcome.gone_ids,
        "open": left.open,
        "failingIds": left.failing,
        "resumed": was_left,
        "stoppedBehind": walk.cursor,
        "stoppedBecause": stuck,
    }
    print(json.dumps(told))


async def _tell_people(
    store: database.Database,
    walk: backfills.Walk,
    was_left: bool,
    outcome: backfills.Outcome,
    left: backfills.Left,
    *,
    waited: bool,
) -> None:
    from receiver.cli import asking, figures

    on = ", the beginning of it by an earlier call" if was_left else ""
    seen, known = figures.count(walk.seen), figures.count(walk.seen - walk.taken)
    print(f"{seen} finished runs in the upstream's list{on}: {known} were known.")
    print(f"{figures.count(outcome.stored)} of {figures.count(walk.taken)} new ones are stored.")
    if left.open and not waited:
        print(f"{figures.count(left.open)} are still to be fetched. {(await asking.who_works(store))[1]}")
    if outcome.gone:
        _name(
            outcome.gone,
            outcome.gone_ids,
            "in the list, though the upstream has them no longer; recorded as refused",
        )
    if left.failing and waited:
        _name(len(left.failing), left.failing, "not fetched yet, see `runledger jobs`; a server goes on trying")


def _name(count: int, ids: Sequence[str], what: str) -> None:
    """So many runs, the first of them by name."""
    print(f"runledger: {count} {what}:", file=sys.stderr)
    for each in ids[:NAMED]:
        print(f"  {each}", file=sys.stderr)
    if count > NAMED:
        print(f"  and {count - NAMED} more", file=sys.stderr)
