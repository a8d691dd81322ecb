"""A load of signed events over keep-alive connections; it does little work itself, since it shares the machine."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import cast

from receiver.crypto import signatures


@dataclass(slots=True)
class Tally:
    """The seconds of each answered request, and how many were not answered with 2xx."""

    seconds: list[float] = field(default_factory=list)
    others: int = 0

    def percentile(self, share: float) -> float:
        """Return a percentile in milliseconds."""
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000 if ordered else 0.0


def events(secret: signatures.Secret, count: int, prefix: str, host: str) -> list[bytes]:
    """Return complete HTTP requests, signed beforehand, each with an id of its own."""
    timestamp = str(int(time.time()))
    return [_request(secret, f"{prefix}_{number}", timestamp, host) for number in range(count)]


def _request(secret: signatures.Secret, name: str, timestamp: str, host: str) -> bytes:
    body = (
        f'{{"id":"evt_{name}","type":"agent.run.completed","occurred_at":"2026-11-23T12:00:00.000Z",'
        f'"data":{{"runId":"run_{name}","agentId":"agent_bench","status":"completed"}}}}'
    ).encode()
    signature = signatures.sign(secret.key, f"dlv_{name}", timestamp, body)
    head = (
        f"POST /webhooks/case HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n"
        f"case-webhook-id: dlv_{name}\r\ncase-webhook-timestamp: {timestamp}\r\n"
        f"case-webhook-signature: {signature}\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class _Connection(asyncio.Protocol):
    """Sends the next request as soon as the last one is answered."""

    def __init__(self, requests: Iterator[bytes], tally: Tally, done: asyncio.Future[None]) -> None:
        self._requests, self._tally, self._done = requests, tally, done
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not asyncio's by class.
        self._transport = cast(asyncio.Transport, transport)
        self._next()

    def _next(self) -> None:
        request = next(self._requests, None)
        if request is None:
            self._transport.close()
            return
        self._sent = time.perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, separator, rest = self._buffer.partition(b"\r\n\r\n")
        if not separator or not _is_whole(head.lower(), rest):
            return
        self._buffer = b""
        if head[9:10] == b"2":
            self._tally.seconds.append(time.perf_counter() - self._sent)
        else:
            self._tally.others += 1
        self._next()

    def connection_lost(self, _error: Exception | None) -> None:
        if not self._done.done():
            self._done.set_result(None)


def _is_whole(head: bytes, body: bytes) -> bool:
    if b"transfer-encoding: chunked" in head:
        return body.endswith(b"\r\n0\r\n\r\n")
    return len(body) >= _length(head)


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


async def run(port: int, requests: Sequence[bytes], connections: int) -> tuple[Tally, float]:
    """Send all requests to a loopback port over several connections; return the tally and the seconds."""
    loop = asyncio.get_running_loop()
    tally, queue = Tally(), iter(requests)
    started = time.perf_counter()
    ends: list[asyncio.Future[None]] = []
    for _ in range(connections):
        ends.append(loop.create_future())
        await loop.create_connection(lambda: _Connection(queue, tally, ends[-1]), "127.0.0.1", port)
    await asyncio.gather(*ends)
    return tally, time.perf_counter() - started
