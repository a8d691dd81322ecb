"""Commands that migrate the schema, request a sweep, and move the store to PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from receiver import clock, settings, signing_keys
from receiver.cli import api_calls, event_loop, open_database, options
from receiver.cli.errors import USAGE, CommandError
from receiver.cli.parameters import option
from receiver.cli.render import format as render_format
from receiver.cli.render import json_lines, progress, results
from storage import states
from storage.engine import urls
from storage.maintenance import comparison, moving
from storage.migrations import schema_version
from storage.repositories import jobs

app = event_loop.commands()


@app.command()
async def sweep(as_json: options.Json = False) -> None:
    """Ask the upstream about all open runs now.

    \b
    Example:
      runledger sweep
    """
    async with open_database.existing() as store:
        now = (await open_database.shared_clock(store))()
        await store.write(jobs.enqueue, [jobs.JobRequest(states.Kind.SWEEP, "", now, urgent=True)])
        worker = await api_calls.worker_status(store)
    enqueued = {"enqueued": states.Kind.SWEEP.value, "workerSeen": worker.is_alive}
    results.sentence(enqueued, f"A sweep is due now. {worker.message}", as_json=as_json)


@app.command()
async def migrate(as_json: options.Json = False) -> None:
    """Bring the database to the schema of this release.

    On SQLite `serve` does so by itself.

    \b
    Example:
      runledger migrate
    """
    async with open_database.unchecked() as store:
        before = await store.read(schema_version.current)
        await store.write(schema_version.upgrade)
        now = await store.read(schema_version.current)
    change = " already" if before == now else f"; it was at {before or 'none'}"
    text = f"The database is at schema {now}{change}."
    results.sentence({"before": before, "now": now}, text, as_json=as_json)


@app.command()
def move(
    to: Annotated[str, option("URL", "An empty database: postgresql://user@host/name.", "--to")],
    as_json: options.Json = False,
) -> None:
    """Move the store from SQLite to PostgreSQL.

    No server may run. Everything is moved in one transaction, which is
    committed after each table was read on both sides and found to be equal. The
    file stays as it is, but no server starts on it any more. No command moves a
    store back.

    \b
    Example:
      runledger move --to postgresql://runledger@db.internal/runledger
    """
    given = settings.load()
    _demand_file_to_server(given, to)
    rows = 2 * moving.count_rows(given.url)
    with urls.server_lock(given.url), progress.bar("moving", rows) as update:

        def advance(what: str, table: str, count: int) -> None:
            update(advance=count, description=f"{what} {table}")

        tables = moving.move(given.url, to, clock.now(), advance)
    if not as_json:
        _show_moved(given, tables)
        return
    for each in tables:
        json_lines.mapping({"table": each.table, "rows": each.rows[0], "sha256": each.digests[0]})


def _demand_file_to_server(given: settings.Settings, to: str) -> None:
    """Raise CommandError unless the store is a file and `to` the address of a PostgreSQL."""
    fault = urls.problem(to)
    if to.startswith("postgres") and fault is not None:
        raise CommandError(f"--to {fault}", USAGE)
    if fault is not None or urls.file_path(to) is not None:
        raise CommandError("--to must be the address of a PostgreSQL, as in postgresql://user@host/name", USAGE)
    file = urls.file_path(given.url)
    if file is None:
        raise CommandError("only a store on SQLite is moved, and this one is on PostgreSQL already")
    if not Path(file).exists():
        raise CommandError(f"there is no database at {open_database.short_path(file)} yet")


def _show_moved(given: settings.Settings, tables: Sequence[comparison.TableComparison]) -> None:
    width = max(len(each.table) for each in tables)
    for each in tables:
        print(f"{each.table:<{width}}  {render_format.count(each.rows[0]):>12}  {each.digests[0]}")
    rows = render_format.count(sum(each.rows[0] for each in tables))
    print(f"Moved: {rows} rows, and each table is the same on both sides.")
    print("Set RUNLEDGER_DATABASE_URL to the new database before you start a server.")
    for setting, kept in signing_keys.sources(given):
        if kept:
            file = open_database.short_path(kept)
            print(f"Set {setting} to the content of {file}: on PostgreSQL every process needs it set.")
