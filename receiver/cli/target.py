"""Where a command reads and writes: the database of this machine, or a server that was chosen."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeAlias

from receiver import settings
from receiver.cli import open_database
from receiver.cli.remote import profiles
from storage.engine import database

if TYPE_CHECKING:
    from receiver.cli.remote.server import Server

Target: TypeAlias = "database.Database | Server"


@asynccontextmanager
async def opened(given: settings.Settings | None = None, *, creates: bool = False) -> AsyncIterator[Target]:
    """Open the server that is chosen, or else the database. Raises CommandError.

    With `creates` a database that is missing is made.
    """
    chosen = profiles.chosen()
    if chosen is None:
        open_store = open_database.created if creates else open_database.existing
        async with open_store(given) as store:
            yield store
        return
    # The HTTP client is slow to import, and most commands work on a database.
    from receiver.cli.remote import server

    found = server.Server(chosen)
    async with found.client:
        yield found
