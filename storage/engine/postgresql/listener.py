"""Listen for commits of other processes on the same database server.

A notification is only a hint to read the database earlier: everything works without it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NoReturn

import psycopg

from storage.engine import connections, database, dialect, error_translation, session


async def listen(store: database.Database, on_failure: Callable[[str], None], pause: float) -> NoReturn:
    """Notify the waiters after each commit of another process, until cancelled.

    Where listening fails, call `on_failure` with the reason, and try again after `pause` seconds.
    """
    while True:
        try:
            await _listen_once(store)
        except psycopg.Error as error:
            on_failure(error_translation.message(error))
        await asyncio.sleep(pause)


async def _listen_once(store: database.Database) -> None:
    arguments = connections.libpq_arguments(store.url)
    async with await psycopg.AsyncConnection.connect(**arguments, autocommit=True) as connection:
        await connection.execute(session.settings_statement(connection.info.server_version, local=False).encode())
        await connection.execute(f"LISTEN {dialect.CHANNEL}".encode())
        with store.watched():
            store.notify_commit()  # commits before this moment sent no notification to this connection
            async for each in connection.notifies():
                store.notify_commit(has_work=each.payload != dialect.NO_WORK)
