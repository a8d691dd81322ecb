"""Adoption of the finished runs that the upstream has from before Runledger."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import secrets
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn

from receiver import clock, errors, settings, telemetry, timeouts
from receiver.cli import api_calls, event_loop, open_database, options
from receiver.cli.errors import FAILED, USAGE, CommandError
from receiver.cli.parameters import flag, option
from receiver.cli.render import format as render_format
from receiver.cli.render import json_lines, progress
from receiver.upstream import client
from receiver.worker import context as worker_context
from receiver.worker.tasks import backfill as tasks_backfill
from storage import states
from storage.engine import database
from storage.query import value_ranges
from storage.repositories import backfills

app = event_loop.commands()

#: Seconds between two reads of what is still to be fetched.
INTERVAL = 0.25
#: Ids of one kind that people are shown.
SHOWN = 20
#: The states that a backfill takes.
FINISHED = sorted((states.Status.CANCELLED, states.Status.COMPLETED, states.Status.FAILED))

#: A function that shows how many runs are done, how many there are, and a description.
Show = Callable[[int, int | None, str], None]


@app.command()
async def backfill(
    agent: Annotated[str | None, option("ID", "Runs of this agent only.")] = None,
    since: Annotated[str | None, option("AGE|DATE", "Created in the last 30d, or since 2026-01-01 (UTC).")] = None,
    status: Annotated[list[str] | None, options.choice(FINISHED, "STATE", "{words}; several by commas.")] = None,
    restart: Annotated[bool, flag("--restart", "Walk from the newest run again.")] = False,
    no_wait: Annotated[bool, flag("--no-wait", "Only walk the list; the server fetches the runs.")] = False,
    as_json: options.Json = False,
) -> None:
    """Store the finished runs that Case.dev has from before.

    It walks the upstream's list and commits its position with each page, so the
    same command continues after Ctrl-C; stored runs are skipped. The running
    server then fetches the new runs; without one this command does. It waits
    for rate limits. Runs that cannot be fetched are named at the end, with exit
    code 1; a server keeps trying. If the list cannot be read further, it ends
    and names the place. Your backend is not notified of these runs.

    \b
    Examples:
      runledger backfill --since 30d
      runledger backfill --agent agent_1 --status completed,failed
    """
    chosen = _states(status)
    try:
        await _backfill(agent, since, chosen, restart, no_wait, as_json)
    except asyncio.CancelledError:
        raise CommandError("stopped; the same command continues from here") from None


def _states(given: list[str] | None) -> str | None:
    """Return the states, sorted and each once. Raise CommandError."""
    named = {each.strip() for text in given or () for each in text.split(",")}
    if unknown := sorted(named.difference(FINISHED)):
        raise CommandError(f"--status: {unknown[0]!r} is none of {', '.join(FINISHED)}", USAGE)
    return ",".join(sorted(named)) or None


async def _backfill(
    agent: str | None, since: str | None, status: str | None, restart: bool, no_wait: bool, as_json: bool
) -> None:
    given, now = settings.load(), clock.now()
    settings.require_api_key(given)
    earliest = None if since is None else value_ranges.moment("since", since, now)
    # The digest is that of the options as typed, so that `30d` typed tomorrow continues the same walk.
    digest = hashlib.sha256(json.dumps([agent, since, status]).encode()).hexdigest()
    request = backfills.Walk(digest, agent, status, earliest, None, 0, 0, now, None)
    async with open_database.created(given) as store, task_context(given, store) as context:
        walk = await store.write(backfills.begin, request, restart=restart)
        is_resumed = walk.started_at != now
        with progress_bar() as show:
            walk, fault = await _walk(context, walk, show)
            if not no_wait:
                await _fetch(context, given.worker_concurrency, show)
        outcome, left = await store.read(backfills.outcome, walk.started_at), await store.read(backfills.remaining)
        if as_json:
            json_lines.mapping(_object(walk, is_resumed, outcome, left, fault))
        else:
            await _show(store, walk, is_resumed, outcome, left, has_waited=not no_wait)
    if fault is not None:
        place = "at its beginning" if walk.cursor is None else f"behind {walk.cursor}"
        raise CommandError(
            f"{fault}. The walk stopped {place}, older runs were not seen: the same command tries again from "
            "there, with --restart from the newest run; the runs that it has stored are kept"
        )
    if left.failing and not no_wait:
        raise typer.Exit(FAILED)


@contextlib.asynccontextmanager
async def task_context(
    given: settings.Settings, store: database.Database
) -> AsyncIterator[worker_context.Context]:
    """Yield what the tasks work with. No watchers are registered: all these runs have ended."""
    shared_clock = await open_database.shared_clock(store)
    telemetry.configure("console", "error")  # failures are reported at the end
    metrics, timing = telemetry.Telemetry(), timeouts.Timing()
    upstream = client.Client(
        given.casedev_base_url,
        given.casedev_api_key.get_secret_value(),
        observe=lambda call: metrics.called(call.route, call.status, call.seconds, call.limits, clock.now()),
        connections=given.worker_concurrency,
    )
    async with contextlib.aclosing(upstream):
        yield worker_context.Context(
            store, upstream, timing, shared_clock, lambda run_id: None, metrics, timing.sweep
        )


async def _walk(
    context: worker_context.Context, walk: backfills.Walk, show: Show
) -> tuple[backfills.Walk, str | None]:
    """Return the walk as far as it gets, and why it stops early where the list cannot be read further."""
    show(0, None, "walking the list")
    try:
        async for further in tasks_backfill.walk(context, walk):
            walk = further
            show(walk.seen, None, "walking the list")
    except errors.InvalidPaging as failure:
        return walk, str(failure)
    return walk, None


async def _fetch(context: worker_context.Context, concurrency: int, show: Show) -> None:
    """Wait until only failing runs are left. Fetch them here where no worker is alive."""
    owner, total = secrets.token_hex(6), 0
    while True:
        left = await context.database.read(backfills.remaining)
        total = max(total, left.open)
        worker = await api_calls.worker_status(context.database)
        show(total - left.open, total, worker.message if worker.is_alive else "fetching")
        if left.open <= len(left.failing):
            return
        if worker.is_alive or not await tasks_backfill.run_adoptions(context, owner, concurrency):
            await asyncio.sleep(INTERVAL)


@contextlib.contextmanager
def progress_bar() -> Iterator[Show]:
    """Show a bar of runs for the block."""
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with progress.bar("", None, *columns) as update:
        yield lambda done, total, what: update(completed=done, total=total, description=what)


def _object(
    walk: backfills.Walk,
    is_resumed: bool,
    outcome: backfills.Outcome,
    left: backfills.Remaining,
    fault: str | None,
) -> dict[str, Any]:
    return {
        "seen": walk.seen,
        "new": walk.taken,
        "known": walk.seen - walk.taken,
        "stored": outcome.stored,
        "gone": outcome.gone,
        "goneIds": outcome.gone_ids,
        "open": left.open,
        "failingIds": left.failing,
        "resumed": is_resumed,
        "stoppedBehind": walk.cursor,
        "stoppedBecause": fault,
    }


async def _show(
    store: database.Database,
    walk: backfills.Walk,
    is_resumed: bool,
    outcome: backfills.Outcome,
    left: backfills.Remaining,
    *,
    has_waited: bool,
) -> None:
    resumed = ", the beginning of it by an earlier call" if is_resumed else ""
    seen, known = render_format.count(walk.seen), render_format.count(walk.seen - walk.taken)
    print(f"{seen} finished runs in the upstream's list{resumed}: {known} were known.")
    print(f"{render_format.count(outcome.stored)} of {render_format.count(walk.taken)} new ones are stored.")
    if left.open and not has_waited:
        message = (await api_calls.worker_status(store)).message
        print(f"{render_format.count(left.open)} are still to be fetched. {message}")
    if outcome.gone:
        what = "in the list, though the upstream has them no longer; recorded as refused"
        _show_ids(outcome.gone, outcome.gone_ids, what)
    if left.failing and has_waited:
        what = "not fetched yet, see `runledger jobs`; a server keeps trying"
        _show_ids(len(left.failing), left.failing, what)


def _show_ids(count: int, ids: Sequence[str], what: str) -> None:
    print(f"runledger: {count} {what}:", file=sys.stderr)
    for each in ids[:SHOWN]:
        print(f"  {each}", file=sys.stderr)
    if count > SHOWN:
        print(f"  and {count - SHOWN} more", file=sys.stderr)
