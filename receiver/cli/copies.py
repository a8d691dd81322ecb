"""Copies of the store: taken, put back, and what has to be said to one that takes its place."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from receiver.cli import loop, options, sentences

if TYPE_CHECKING:
    from receiver import settings
    from storage import backup as copying
    from storage import database, transitions

VERBS = typer.Typer()

File = Annotated[Path, typer.Argument(metavar="FILE", help="The copy.", show_default=False)]
Force = Annotated[bool, typer.Option("--force", help="Replace what is there already.")]
#: A worker that was not seen for so many heartbeats is gone.
HEARTBEATS = 3


@VERBS.command()
def backup(file: File, force: Force = False, as_json: options.Json = False) -> None:
    """Copy the whole store into a file, beside a running server.

    It is as the store stood at one moment, and is read through once it is
    written. On PostgreSQL `pg_dump` makes it, which has to be installed. The
    keys are not in it: secret.key, or RUNLEDGER_SECRET_KEYS.

    \b
    Examples:
      runledger backup /var/backups/runledger-$(date +%F).db
      RUNLEDGER_DATABASE_URL=postgresql://… runledger backup runledger.dump
    """
    from receiver import settings
    from receiver.cli import dumps

    given = settings.load()
    if given.is_embedded:
        _back_up(given, file, force, as_json)
    else:
        dumps.dump(given.url, file, force=force, as_json=as_json)


def _back_up(given: settings.Settings, file: Path, force: bool, as_json: bool) -> None:
    from receiver import clock
    from receiver.cli import figures, opening
    from storage import backup as copying

    source, now = _file(given), clock.now()
    if not source.exists():
        raise sentences.Complaint(f"there is no database at {opening.short(source)} yet")
    with _progress("copying") as advance:
        made = copying.take(str(source), file.absolute(), now, replace=force, advance=advance)
    if as_json:
        print(json.dumps(_told(file, made) | {"takenAt": _instant(now)}))
        return
    size, moment = figures.size(made.size), figures.instant(now)
    print(f"{opening.short(file)} holds {_contents(made)} in {size}, as of {moment}.")
    print(f"{_keys(given)} is not in it: keep that too, and apart from it.")


def _keys(given: settings.Settings) -> str:
    from receiver.cli import opening

    return "RUNLEDGER_SECRET_KEYS" if given.secret_keys else opening.short(given.data_dir / "secret.key")


@VERBS.command()
def restore(file: File, force: Force = False, as_json: options.Json = False) -> None:
    """Put a copy in the place of the store, and mark it as restored.

    No server may run. The copy is checked before anything is replaced. What it
    holds as not started may have been executed since: see `runledger restored`.
    On PostgreSQL it tells which lines to type.

    \b
    Examples:
      runledger restore /var/backups/runledger-2026-11-23.db
      runledger restore /var/backups/runledger-2026-11-23.db --force
    """
    from receiver import settings
    from receiver.cli import dumps

    given = settings.load()
    if not given.is_embedded:
        raise sentences.Complaint(dumps.how_to_restore(given.url, file))
    loop.run(_restore(given, file, force, as_json))


async def _restore(given: settings.Settings, file: Path, force: bool, as_json: bool) -> None:
    import asyncio

    from receiver import clock, settings
    from receiver.cli import figures, opening
    from storage import backup as copying
    from storage import database, dialect, migrations, transitions

    target = _file(given)
    if not file.is_file():  # noqa: ASYNC240 - before anything waits for this loop
        raise sentences.Complaint(f"there is no file {opening.short(file)}")
    with dialect.sole_server(given.url):
        copying.demand_free(target, replace=force)
        with copying.aside(target) as path:
            with _progress("copying") as advance:
                await asyncio.to_thread(copying.copy, file, path, advance)
            made = await asyncio.to_thread(copying.check, path)
            async with database.Database(f"sqlite:///{path}") as store:
                await store.write(migrations.upgrade)
                marked = await store.write(transitions.restored, clock.now())
            copying.install(path, target, replace=force)
    if as_json:
        print(json.dumps(_told(target, made) | _marks(marked)))
        return
    print(f"{opening.short(target)} holds {_contents(made)} in {figures.size(made.size)}.")
    _tell(marked)
    if not settings.has_signing_keys(given):
        print("There is no secret.key here: put the one back that belongs to it, before a server makes a new one.")


@VERBS.command()
def restored(
    force: Annotated[
        bool, typer.Option("--force", help="On PostgreSQL: do not wait to see whether a worker's heart beats.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Tell a store that it is an older copy, before a server works on it.

    What is submitted and not started there may have been executed since the
    copy was made. It is marked, and of what is marked the worker looks in the
    upstream's list before it sends anything: what it finds, in whatever state,
    is followed and not executed again. No server may run. It may be repeated.
    `runledger restore` does this by itself.

    \b
    Example:
      runledger restored && runledger serve
    """
    loop.run(_restored(force, as_json))


async def _restored(force: bool, as_json: bool) -> None:
    from receiver import clock, settings
    from receiver.cli import opening
    from storage import dialect, transitions

    given = settings.load()
    with dialect.sole_server(given.url):
        async with opening.existing(given, own=False) as store:
            if not given.is_embedded and not force:
                await _demand_idle(store)
            now = await store.read(dialect.time) or clock.now()
            marked = await store.write(transitions.restored, now)
    if as_json:
        print(json.dumps(_marks(marked)))
    else:
        _tell(marked)


async def _demand_idle(store: database.Database) -> None:
    """Waits until a worker that was seen lately must be gone. Raises Complaint where its heart goes on beating."""
    import asyncio
    import sys
    from datetime import timedelta

    from receiver import backoff, clock
    from storage import dialect, house

    timing = backoff.Timing()
    first = (await store.read(house.read)).worker_seen_at
    is_told = False
    while first is not None:
        now, seen = await store.read(dialect.time) or clock.now(), (await store.read(house.read)).worker_seen_at
        if seen != first:
            raise sentences.Complaint(
                "a worker is at work on this database: stop every `runledger serve` and `runledger work` first"
            )
        if now - first > timedelta(seconds=HEARTBEATS * timing.heartbeat):
            return
        if not is_told:
            print("A worker was here just now, perhaps in the copy alone: a moment.", file=sys.stderr)
        is_told = True
        await asyncio.sleep(timing.poll)


def _tell(marked: transitions.Restored) -> None:
    """What was marked and what is to be done, for people."""
    from receiver.cli import figures

    if not marked.is_new:
        print(f"It was marked as restored at {figures.instant(marked.at)}, and not worked on since.")
        return
    accepted, queued = figures.count(marked.accepted), figures.count(marked.queued)
    print(
        f"{accepted} accepted and {queued} queued runs are marked: upstream is looked through before they start."
    )
    if marked.one_call:
        print(f"{figures.count(marked.one_call)} of them are without an agent: these end as refused if not found.")
    print(f"The feed is what it was up to number {marked.last_number}; what follows may have been something else.")
    if marked.awaits_secret:
        print("Run `runledger webhooks register` within ten minutes: its secret may have changed since.")


def _marks(marked: transitions.Restored) -> dict[str, Any]:
    return {
        "restoredAt": _instant(marked.at),
        "isNew": marked.is_new,
        "accepted": marked.accepted,
        "queued": marked.queued,
        "oneCall": marked.one_call,
        "lastNumber": marked.last_number,
        "awaitsSecret": marked.awaits_secret,
    }


def _told(file: Path, made: copying.Copy) -> dict[str, Any]:
    return {
        "file": str(file.absolute()),
        "bytes": made.size,
        "schema": made.schema,
        "runs": made.runs,
        "entries": made.entries,
    }


def _contents(made: copying.Copy) -> str:
    from receiver.cli import figures

    return f"{figures.count(made.runs)} runs and {figures.count(made.entries)} ledger entries"


def _instant(at: Any) -> str:
    from storage import columns

    return columns.text(at)


def _file(given: settings.Settings) -> Path:
    from storage import dialect

    file = dialect.file_of(given.url)
    assert file is not None, "an embedded database is a file"
    return Path(file).absolute()


@contextlib.contextmanager
def _progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar, where somebody looks."""
    from receiver.cli import tables

    with tables.progress() as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
