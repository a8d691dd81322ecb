"""Commands that copy and restore the store.

A file is copied in this process, a PostgreSQL database by its own tools.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

from receiver import clock, settings, signing_keys, timeouts
from receiver.cli import event_loop, open_database, options
from receiver.cli.errors import CommandError
from receiver.cli.parameters import argument, flag
from receiver.cli.render import format as render_format
from receiver.cli.render import json_lines, progress
from storage.engine import database, dialect, urls
from storage.maintenance import backup as copying
from storage.maintenance import server_tools
from storage.migrations import schema_version
from storage.repositories import system_state
from storage.transitions import restoring

app = event_loop.commands()

File = Annotated[Path, argument("FILE", "The copy.")]
Force = Annotated[bool, flag("--force", "Replace what is there already.")]
#: The number of missed heartbeats after which a worker counts as gone.
HEARTBEATS = 3
#: Lines of a tool's error output that are shown.
LINES = 5
#: The options of pg_restore by which a dump is restored completely or not at all.
RESTORE = ("--no-owner", "--exit-on-error", "--single-transaction")


@app.command()
def backup(file: File, force: Force = False, as_json: options.Json = False) -> None:
    """Copy the whole store into a file, beside a running server.

    The copy is one snapshot, and is checked after it is written. On PostgreSQL
    this needs `pg_dump`. The keys are not in the copy: keep secret.key and
    ledger.key, or RUNLEDGER_SECRET_KEYS and RUNLEDGER_LEDGER_KEYS, as well.

    \b
    Examples:
      runledger backup /var/backups/runledger-$(date +%F).db
      RUNLEDGER_DATABASE_URL=postgresql://… runledger backup runledger.dump
    """
    given = settings.load()
    if given.is_embedded:
        _back_up_file(given, file, force, as_json)
    else:
        _back_up_server(given.url, file, force, as_json)


def _back_up_file(given: settings.Settings, file: Path, force: bool, as_json: bool) -> None:
    source, now = _database_file(given), clock.now()
    if not source.exists():
        raise CommandError(f"there is no database at {open_database.short_path(source)} yet")
    with _progress() as advance:
        copy = copying.take(str(source), file.absolute(), now, replace=force, advance=advance)
    if as_json:
        json_lines.mapping(_copy_object(file, copy) | {"takenAt": now})
        return
    size, moment = render_format.size(copy.size), render_format.instant(now)
    print(f"{open_database.short_path(file)} holds {_contents(copy)} in {size}, as of {moment}.")
    places = (open_database.short_path(kept) if kept else setting for setting, kept in signing_keys.sources(given))
    print(f"{' and '.join(places)} are not in it: keep them too, and apart from it.")


def _back_up_server(url: str, file: Path, force: bool, as_json: bool) -> None:
    """Have `pg_dump` write the store into a file, and `pg_restore` read it. Raise CommandError, TargetNotEmpty."""
    tool, target, now = shutil.which("pg_dump"), file.absolute(), clock.now()
    copying.require_free(target, replace=force)
    if tool is None:
        line = shlex.join(["pg_dump", "--format=custom", f"--file={file}", server_tools.display_url(url)])
        raise CommandError(
            "pg_dump, which copies a PostgreSQL, is not installed here: install the client of the server's "
            f"version, or run this where it is: {line}"
        )
    with copying.temporary_file(target) as path, _tool_address(url, path) as address:
        _run_tool([tool, "--format=custom", f"--file={path}", f"--dbname={address}"])
        reader = Path(tool).with_name("pg_restore")
        listed = _run_tool([str(reader) if reader.exists() else "pg_restore", "--list", str(path)])
        tables = sum(" TABLE DATA " in line for line in listed.splitlines())
        size = path.stat().st_size
        copying.install(path, target, replace=force)
    if as_json:
        json_lines.mapping({"file": str(target), "bytes": size, "tables": tables, "takenAt": now})
        return
    place, moment = open_database.short_path(file), render_format.instant(now)
    print(f"{place} holds {tables} tables, in {render_format.size(size)}, as of {moment}.")
    keys = "RUNLEDGER_SECRET_KEYS and RUNLEDGER_LEDGER_KEYS"
    print(f"Keep {keys} as well, and apart from it: the copy cannot be used in full without.")


@contextlib.contextmanager
def _tool_address(url: str, beside: Path) -> Iterator[str]:
    """Yield the address for a tool. A password is in a file of its own for as long as the block."""
    address, password = server_tools.connection_string(url)
    if password is None:
        yield address
        return
    with copying.temporary_file(beside) as path:
        path.write_text(server_tools.passfile_line(password))
        os.chmod(path, 0o600)
        yield server_tools.with_passfile(address, str(path))


def _run_tool(words: list[str]) -> str:
    """Run a tool and return its output. Raise CommandError with its own error output where it fails."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False, errors="replace")
    except OSError as error:
        raise CommandError(f"{words[0]} cannot be run: {error.strerror}") from None
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"]
        raise CommandError(f"{Path(words[0]).name} failed: {' '.join(lines[:LINES])}")
    return done.stdout


@app.command()
async def restore(file: File, force: Force = False, as_json: options.Json = False) -> None:
    """Replace the store with a copy, and mark it as restored.

    No server may run. The copy is checked before anything is replaced. Runs
    that are not started in it may have been executed since: see `runledger
    restored`. On PostgreSQL it prints the commands to type.

    \b
    Examples:
      runledger restore /var/backups/runledger-2026-11-23.db
      runledger restore /var/backups/runledger-2026-11-23.db --force
    """
    given = settings.load()
    if not given.is_embedded:
        line = shlex.join(["pg_restore", *RESTORE, f"--dbname={server_tools.display_url(given.url)}", str(file)])
        raise CommandError(
            f"pg_restore restores it: stop every server, make an empty database, and type {line} and then, before "
            "any server is started on it, `runledger restored`"
        )
    if not file.is_file():
        raise CommandError(f"there is no file {open_database.short_path(file)}")
    with urls.server_lock(given.url):
        copy, marked = await _restore_file(file, _database_file(given), force)
    target = _database_file(given)
    if as_json:
        json_lines.mapping(_copy_object(target, copy) | _marked_object(marked))
        return
    print(f"{open_database.short_path(target)} holds {_contents(copy)} in {render_format.size(copy.size)}.")
    _show_marked(marked)
    for name in signing_keys.missing_files(given):
        print(f"There is no {name} here: put the one back that belongs to it, before a server makes a new one.")


async def _restore_file(file: Path, target: Path, force: bool) -> tuple[copying.Copy, restoring.Restored]:
    copying.require_free(target, replace=force)
    with copying.temporary_file(target) as path:
        with _progress() as advance:
            await asyncio.to_thread(copying.copy, file, path, advance)
        copy = await asyncio.to_thread(copying.check, path)
        async with database.Database(f"sqlite:///{path}") as store:
            await store.write(schema_version.upgrade)
            marked = await store.write(restoring.mark_restored, clock.now())
        copying.install(path, target, replace=force)
    return copy, marked


@app.command()
async def restored(
    force: Annotated[bool, flag("--force", "On PostgreSQL: do not wait to see whether a worker runs.")] = False,
    as_json: options.Json = False,
) -> None:
    """Mark a store as restored from an older copy.

    Run this before a server starts on the copy; it may be repeated. Runs that
    the copy holds as not started may have been executed since it was made. The
    worker searches the upstream's list for each marked run before it sends
    anything. A run that it finds, in any state, is followed and not executed
    again. `runledger restore` marks by itself.

    \b
    Example:
      runledger restored && runledger serve
    """
    given = settings.load()
    with urls.server_lock(given.url):
        async with open_database.existing(given, allow_moved=True) as store:
            if not given.is_embedded and not force:
                await _demand_idle(store)
            now = await store.read(dialect.server_time) or clock.now()
            marked = await store.write(restoring.mark_restored, now)
    if as_json:
        json_lines.mapping(_marked_object(marked))
    else:
        _show_marked(marked)


async def _demand_idle(store: database.Database) -> None:
    """Wait until a worker that was seen lately must be gone. Raise CommandError where it is seen again."""
    timing, is_announced = timeouts.Timing(), False
    first = (await store.read(system_state.read)).worker_seen_at
    while first is not None:
        now = await store.read(dialect.server_time) or clock.now()
        if (await store.read(system_state.read)).worker_seen_at != first:
            raise CommandError(
                "a worker is at work on this database: stop every `runledger serve` and `runledger work` first"
            )
        if now - first > timedelta(seconds=HEARTBEATS * timing.heartbeat):
            return
        if not is_announced:
            print(
                "A worker was seen just now: waiting to see whether it still runs.",
                file=sys.stderr,
            )
        is_announced = True
        await asyncio.sleep(timing.poll)


def _show_marked(marked: restoring.Restored) -> None:
    if not marked.is_new:
        at = render_format.instant(marked.at)
        print(f"It was marked as restored at {at}; no server has worked on it since.")
        return
    accepted, queued = render_format.count(marked.accepted), render_format.count(marked.queued)
    print(f"{accepted} accepted and {queued} queued runs are marked: the upstream is searched before they start.")
    if marked.one_call:
        print(f"{render_format.count(marked.one_call)} of them have no agent: these end as refused if not found.")
    print(f"The feed is unchanged up to number {marked.last_number}; later numbers may have been other changes.")
    if marked.awaits_secret:
        print("Run `runledger webhooks register` within ten minutes: its secret may have changed since.")


def _marked_object(marked: restoring.Restored) -> dict[str, Any]:
    counts = ("accepted", "queued", "one_call", "last_number", "awaits_secret")
    return {"restoredAt": marked.at, **json_lines.fields(marked, "is_new", *counts)}


def _copy_object(file: Path, copy: copying.Copy) -> dict[str, Any]:
    sums = json_lines.fields(copy, "schema", "runs", "entries")
    return {"file": str(file.absolute()), "bytes": copy.size, **sums}


def _contents(copy: copying.Copy) -> str:
    return f"{render_format.count(copy.runs)} runs and {render_format.count(copy.entries)} ledger entries"


def _database_file(given: settings.Settings) -> Path:
    file = urls.file_path(given.url)
    assert file is not None, "an embedded database is a file"
    return Path(file).absolute()


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    with progress.bar("copying", None) as update:
        yield lambda done, total: update(completed=done, total=total)
