"""Moving the store to another kind of database."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from receiver.cli import options, sentences

if TYPE_CHECKING:
    from receiver import settings
    from storage import equality

VERBS = typer.Typer()


@VERBS.command()
def move(
    to: Annotated[
        str, typer.Option("--to", metavar="URL", help="An empty database: postgresql://user@host/name.")
    ],
    as_json: options.Json = False,
) -> None:
    """Move the store from SQLite to PostgreSQL, and prove that both are equal.

    No server may run. All of it is there afterwards or nothing: it is one
    transaction, which is committed once each table was read on both sides and
    found to be the same. The file stays as it is, but no server starts on it
    any more. There is no command for the way back.

    \b
    Example:
      runledger move --to postgresql://runledger@db.internal/runledger
    """
    from receiver import clock, settings
    from storage import dialect, moving

    given = settings.load()
    _demand_way(given, to)
    with dialect.sole_server(given.url), _progress(2 * moving.counted(given.url)) as advance:
        found = moving.move(given.url, to, clock.now(), advance)
    _tell_programs(found) if as_json else _tell_people(given, found)


def _demand_way(given: settings.Settings, to: str) -> None:
    """Raises Complaint for any other way than from a file to a server."""
    from pathlib import Path

    from receiver.cli import opening
    from storage import dialect

    fault = dialect.fault(to)
    if to.startswith("postgres") and fault is not None:
        raise sentences.Complaint(f"--to {fault}", sentences.USAGE)
    if fault is not None or dialect.file_of(to) is not None:
        raise sentences.Complaint("--to must be the address of a PostgreSQL, as in postgresql://user@host/name", 2)
    file = dialect.file_of(given.url)
    if file is None:
        raise sentences.Complaint("only a store on SQLite is moved, and this one is on PostgreSQL already")
    if not Path(file).exists():
        raise sentences.Complaint(f"there is no database at {opening.short(file)} yet")


def _tell_programs(found: list[equality.Compared]) -> None:
    for each in found:
        print(json.dumps({"table": each.table, "rows": each.rows[0], "sha256": each.digests[0]}))


def _tell_people(given: settings.Settings, found: list[equality.Compared]) -> None:
    from receiver.cli import figures, opening

    width = max(len(each.table) for each in found)
    for each in found:
        print(f"{each.table:<{width}}  {figures.count(each.rows[0]):>12}  {each.digests[0]}")
    rows = figures.count(sum(each.rows[0] for each in found))
    print(f"Moved: {rows} rows, and each table is the same on both sides.")
    print("Set RUNLEDGER_DATABASE_URL to the new database before you start a server.")
    if not given.secret_keys:
        kept = opening.short(given.data_dir / "secret.key")
        print(f"Set RUNLEDGER_SECRET_KEYS to what {kept} holds: on PostgreSQL it is given to every process.")


@contextlib.contextmanager
def _progress(rows: int) -> Iterator[Callable[[str, str, int], None]]:
    """A bar, where somebody looks."""
    from receiver.cli import tables

    with tables.progress() as bar:
        task = bar.add_task("moving", total=rows)
        yield lambda what, table, count: bar.update(task, advance=count, description=f"{what} {table}")
