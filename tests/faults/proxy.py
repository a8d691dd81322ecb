"""A TCP proxy that injects faults on command, also into connections that are already open.

with proxy.running(("127.0.0.1", 5432)) as between:
    between.delay = 0.2            # seconds before each piece is forwarded
    between.rate = 10_000          # bytes a second, each way
    between.blackhole = True       # bytes are held, and nothing is closed, until it is False
    between.refusing = True        # new connections are reset
    between.half = 100             # bytes of answers after which a connection is reset, and so are the others
    between.cut()                  # ends all connections in good order
    between.reset()                # ends them as a crash would
    between.trap([b"run_17", b"COMMIT"], after=True)  # the next connection that sends these in turn is reset
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
import struct
import threading
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

#: A host with a port, or the socket of this machine.
Target = tuple[str, int] | Path
#: What has a socket send a reset when it is closed.
ABRUPT = struct.pack("ii", 1, 0)
#: Seconds between two checks of a switch.
LOOK = 0.005


@dataclass
class Trap:
    """Springs once, on the connection whose requests contain all of `markers`, one after the other.

    It resets the connection before the last marker is forwarded, or `after` its answer, which is then dropped.
    """

    markers: Sequence[bytes]
    after: bool
    sprung: threading.Event = field(default_factory=threading.Event)


@dataclass(eq=False)
class _Pair:
    """A client's connection and the one to the target; `found` counts the markers of the trap so far."""

    client: asyncio.StreamWriter
    target: asyncio.StreamWriter
    answered: int = 0
    found: int = 0
    tail: bytes = b""
    caught: Trap | None = None

    def end(self, *, abruptly: bool) -> None:
        for writer in (self.client, self.target):
            if abruptly:
                with contextlib.suppress(OSError):  # it is closed already
                    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABRUPT)
                writer.transport.abort()
            else:
                writer.close()


class Proxy:
    """A proxy with faults; its switches may be set from any thread at any time."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.delay = 0.0
        self.rate = math.inf
        self.blackhole = False
        self.refusing = False
        self.half: int | None = None
        self.port = 0
        self.accepted = 0
        self._pairs: set[_Pair] = set()
        self._tasks: set[asyncio.Task[Any] | None] = set()
        self._trap: Trap | None = None
        self._loop = asyncio.new_event_loop()

    @property
    def url(self) -> str:
        """Return its address for HTTP."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def open(self) -> int:
        """Return how many connections are open."""
        return len(self._pairs)

    def clear_faults(self) -> None:
        """Remove all faults."""
        self.delay, self.rate, self.blackhole, self.refusing, self.half = 0.0, math.inf, False, False, None
        self._trap = None

    def cut(self) -> None:
        """Close all connections in good order."""
        self._ask(self._end_all(abruptly=False))

    def reset(self) -> None:
        """Reset all connections, as a crash would."""
        self._ask(self._end_all(abruptly=True))

    def trap(self, markers: Sequence[bytes], *, after: bool) -> Trap:
        """Set a trap, in place of any other."""
        for pair in list(self._pairs):
            pair.found, pair.tail = 0, b""
        self._trap = Trap(markers, after)
        return self._trap

    def _ask(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    async def _end_all(self, *, abruptly: bool) -> None:
        for pair in list(self._pairs):
            pair.end(abruptly=abruptly)

    async def listen(self, ready: threading.Event, stop: asyncio.Event) -> None:
        """Serve until `stop` is set."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        async with server:
            await stop.wait()
            for task in self._tasks:
                if task is not None:
                    task.cancel()
            while self._tasks:
                await asyncio.sleep(LOOK)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        self.accepted += 1
        self._tasks.add(task)
        try:
            await self._apply_faults(0)
            await self._forward(reader, writer)
        except (OSError, asyncio.CancelledError):
            writer.transport.abort()
        finally:
            self._tasks.discard(task)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers, target = await self._connected()
        pair = _Pair(writer, target)
        self._pairs.add(pair)
        if self.refusing:
            pair.end(abruptly=True)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._requests(pair, reader))
                group.create_task(self._answers(pair, answers))
        finally:
            self._pairs.discard(pair)
            pair.end(abruptly=False)

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self.target, Path):
            return await asyncio.open_unix_connection(self.target)
        return await asyncio.open_connection(*self.target)

    async def _apply_faults(self, size: int) -> None:
        if self.delay or size / self.rate:
            await asyncio.sleep(self.delay + size / self.rate)
        while self.blackhole:
            await asyncio.sleep(LOOK)

    async def _requests(self, pair: _Pair, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(OSError):
            while piece := await reader.read(65536):
                await self._apply_faults(len(piece))
                trap = self._trap
                if trap is not None and self._matches(pair, trap, piece):
                    self._trap = None
                    if not trap.after:
                        self._spring(pair, trap)
                        return
                    pair.caught = trap
                pair.target.write(piece)
                await pair.target.drain()
            pair.target.write_eof()

    def _spring(self, pair: _Pair, trap: Trap) -> None:
        pair.end(abruptly=True)
        trap.sprung.set()

    def _matches(self, pair: _Pair, trap: Trap, piece: bytes) -> bool:
        seen = pair.tail + piece
        while pair.found < len(trap.markers):
            _, found, rest = seen.partition(trap.markers[pair.found])
            if not found:
                break
            pair.found, seen = pair.found + 1, rest
        pair.tail = seen[-64:]
        return pair.found == len(trap.markers)

    async def _answers(self, pair: _Pair, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(OSError):
            while piece := await reader.read(65536):
                await self._apply_faults(len(piece))
                if pair.caught is not None:
                    self._spring(pair, pair.caught)
                    return
                allowed = len(piece) if self.half is None else max(0, self.half - pair.answered)
                pair.answered += len(piece)
                pair.client.write(piece[:allowed])
                await pair.client.drain()
                if allowed < len(piece):
                    pair.end(abruptly=True)
                    return
            pair.client.write_eof()


@contextmanager
def running(target: Target) -> Iterator[Proxy]:
    """Run a proxy on a loopback port in front of `target`, in a thread of its own."""
    made, ready, stop = Proxy(target), threading.Event(), asyncio.Event()
    loop = made._loop
    thread = threading.Thread(target=loop.run_until_complete, args=(made.listen(ready, stop),), name="proxy")
    thread.start()
    try:
        assert ready.wait(60), "the proxy did not start"
        yield made
    finally:
        made.clear_faults()
        loop.call_soon_threadsafe(stop.set)
        thread.join(60)
        loop.close()
