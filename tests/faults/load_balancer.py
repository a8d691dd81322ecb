"""A load balancer: one address of all replicas. A connection goes to a replica that accepts it.

The connections of a killed replica end, and open requests on them get no answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Sequence
from types import TracebackType

from tests import server

#: Bytes that are forwarded at once.
PIECE = 65536


class LoadBalancer:
    """Listens for as long as the block; `ports` are those of the replicas, alive or not."""

    def __init__(self, chance: random.Random) -> None:
        self.port = server.free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.ports: Sequence[int] = ()
        self._chance = chance

    async def __aenter__(self) -> LoadBalancer:
        self._server = await asyncio.start_server(self._take, "127.0.0.1", self.port)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for port in self._chance.sample(self.ports, len(self.ports)):
            try:
                there = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                continue
            await _joined((reader, writer), there)
            return
        writer.close()


Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _joined(one: Ends, other: Ends) -> None:
    """Forward bytes both ways until either side ends."""
    ways = [asyncio.create_task(_pass_on(one[0], other[1])), asyncio.create_task(_pass_on(other[0], one[1]))]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        one[1].close()
        other[1].close()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while piece := await reader.read(PIECE):
            writer.write(piece)
            await writer.drain()
