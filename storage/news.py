"""What other processes commit to the same database server, as a hint to look: nothing depends on hearing it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NoReturn

import psycopg

from storage import dialect
from storage.dialect import session


async def hear(url: str, heard: Callable[[], None], missed: Callable[[str], None], pause: float) -> NoReturn:
    """Calls `heard` whenever there is news, until cancelled.

    Where the server cannot be listened to `missed` is told why, and it is tried again after `pause` seconds.
    """
    while True:
        try:
            await _listen(url, heard)
        except psycopg.Error as error:
            missed(dialect.said(error))
        await asyncio.sleep(pause)


async def _listen(url: str, heard: Callable[[], None]) -> None:
    connection = await psycopg.AsyncConnection.connect(**dialect.libpq(url), autocommit=True)
    async with connection:
        await connection.execute(session.statement(connection.info.server_version, local=False).encode())
        await connection.execute(f"LISTEN {dialect.CHANNEL}".encode())
        heard()  # what was committed before this moment told nobody
        async for _ in connection.notifies():
            heard()
