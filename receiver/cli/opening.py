"""Opening the database beside a server that may be running."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path

from receiver import clock, settings
from receiver.cli import sentences
from storage import database, dialect, migrations, transitions


@asynccontextmanager
async def existing(
    given: settings.Settings | None = None, *, own: bool = True
) -> AsyncIterator[database.Database]:
    """The database as it is. Raises Complaint where there is none, SchemaMismatch for that of another release.

    Raises Moved for one that another took over from, unless not `own` ones are wanted too.
    """
    given = given or settings.load()
    file = dialect.file_of(given.url)
    if file is not None and not os.path.exists(file):  # noqa: ASYNC240 - before anything waits for this loop
        raise _missing(f"there is no database at {short(file)} yet")
    async with database.Database(given.url, pooler=given.database_pooler) as store:
        if await store.read(migrations.current) is None:
            raise _missing(f"the database at {short(file)} is empty") if file else _unmigrated(given)
        await store.read(migrations.check)
        if own:
            await store.read(transitions.demand_own)
        yield store


@asynccontextmanager
async def made(given: settings.Settings | None = None) -> AsyncIterator[database.Database]:
    """The database, made where there is none. Raises SchemaMismatch where it is of another release, Moved."""
    async with as_it_is(given) as store:
        # An older one is left to `migrate` and `serve`: another release may be running on it.
        if await store.read(migrations.current) is None:
            await store.write(migrations.upgrade)
        await store.read(migrations.check)
        await store.read(transitions.demand_own)
        yield store


@asynccontextmanager
async def as_it_is(given: settings.Settings | None = None) -> AsyncIterator[database.Database]:
    """The database of whatever release, or an empty new one."""
    given = given or settings.load()
    file = dialect.file_of(given.url)
    if file is not None:
        _make_folder(Path(file).parent)
    async with database.Database(given.url, pooler=given.database_pooler) as store:
        yield store


async def shared_clock(
    store: database.Database, machine: Callable[[], datetime] = clock.now
) -> Callable[[], datetime]:
    """Return the clock of those who share a database: what is due, leased or seen is compared with their time.

    It is that of `machine` where the database is embedded. Raises Unavailable.
    """
    made = clock.Shared(machine)
    await made.look(lambda: store.read(dialect.time))
    return made


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise sentences.Complaint(f"the folder {short(folder)} cannot be made: {error.strerror}") from None


def _missing(what: str) -> sentences.Complaint:
    return sentences.Complaint(
        f"{what}: start `runledger serve`, or set RUNLEDGER_DATA_DIR to the data folder that you mean"
    )


def _unmigrated(given: settings.Settings) -> sentences.Complaint:
    place = dialect.shown(given.url)
    return sentences.Complaint(
        f"the database {place} is empty: run `runledger migrate`, or set RUNLEDGER_DATABASE_URL to another one"
    )


def short(path: str | Path) -> str:
    """A path as it would be typed here: below the working directory without what leads to it."""
    whole = Path(path).absolute()
    return str(whole.relative_to(Path.cwd()) if whole.is_relative_to(Path.cwd()) else whole)
