"""The database, opened beside a server that may be running."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path

from receiver import clock, settings
from receiver.cli.errors import CommandError
from storage.engine import database, dialect, urls
from storage.migrations import schema_version
from storage.repositories import system_state


@asynccontextmanager
async def existing(
    given: settings.Settings | None = None, *, allow_moved: bool = False
) -> AsyncIterator[database.Database]:
    """Open the database as it is. Raise CommandError where there is none.

    Raises SchemaMismatch for the schema of another release, DatabaseMoved where another database has taken over
    from this one, unless `allow_moved`.
    """
    given = given or settings.load()
    file = urls.file_path(given.url)
    if file is not None and not os.path.exists(file):  # noqa: ASYNC240 - nothing else runs on this loop yet
        raise _missing(f"there is no database at {short_path(file)} yet")
    async with database.Database(given.url, pooler=given.database_pooler) as store:
        if await store.read(schema_version.current) is None:
            if file is not None:
                raise _missing(f"the database at {short_path(file)} is empty")
            raise CommandError(
                f"the database {urls.redacted(given.url)} is empty: run `runledger migrate`, or set "
                "RUNLEDGER_DATABASE_URL to another one"
            )
        await store.read(schema_version.check)
        if not allow_moved:
            await store.read(system_state.require_original)
        yield store


@asynccontextmanager
async def created(given: settings.Settings | None = None) -> AsyncIterator[database.Database]:
    """Open the database, and create it where there is none. Raise SchemaMismatch, DatabaseMoved."""
    async with unchecked(given) as store:
        # An older schema is left to `migrate` and `serve`: another release may be running on it.
        if await store.read(schema_version.current) is None:
            await store.write(schema_version.upgrade)
        await store.read(schema_version.check)
        await store.read(system_state.require_original)
        yield store


@asynccontextmanager
async def unchecked(given: settings.Settings | None = None) -> AsyncIterator[database.Database]:
    """Open the database with the schema of any release, or an empty new one."""
    given = given or settings.load()
    file = urls.file_path(given.url)
    if file is not None:
        folder = Path(file).parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CommandError(f"the folder {short_path(folder)} cannot be made: {error.strerror}") from None
    async with database.Database(given.url, pooler=given.database_pooler) as store:
        yield store


async def shared_clock(
    store: database.Database, machine: Callable[[], datetime] = clock.now
) -> Callable[[], datetime]:
    """Return the clock by which the users of a database compare what is due, leased or seen.

    It is that of `machine` where the database is embedded. Raises Unavailable.
    """
    made = clock.SharedClock(machine)
    await made.synchronize(lambda: store.read(dialect.server_time))
    return made


def _missing(fault: str) -> CommandError:
    return CommandError(
        f"{fault}: start `runledger serve`, or set RUNLEDGER_DATA_DIR to the data folder that you mean"
    )


def short_path(path: str | Path) -> str:
    """Return a path relative to the working directory where it lies below it, else the absolute path."""
    whole = Path(path).absolute()
    return str(whole.relative_to(Path.cwd()) if whole.is_relative_to(Path.cwd()) else whole)
