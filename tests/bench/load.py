"""Loads over keep-alive connections; the sender does little work itself, since it shares the machine.

Without a rate, each connection sends its next request as soon as the last one is answered. With a rate, requests
fall due at fixed intervals, whether or not earlier ones were answered, and latency counts from the instant at
which a request was due.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from receiver.crypto import signatures, tokens
from tests.bench import product


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
    headers = {
        "case-webhook-id": f"dlv_{name}",
        "case-webhook-timestamp": timestamp,
        "case-webhook-signature": signatures.sign(secret.key, f"dlv_{name}", timestamp, body),
    }
    return post("/webhooks/case", headers, body, host)


def post(path: str, headers: Mapping[str, str], body: bytes, host: str = "127.0.0.1") -> bytes:
    """Return a complete HTTP request."""
    given = {"host": host, "content-type": "application/json", **headers, "content-length": str(len(body))}
    head = "".join(f"{name}: {value}\r\n" for name, value in given.items())
    return f"POST {path} HTTP/1.1\r\n{head}\r\n".encode() + body


def callbacks(signer: tokens.Signer, runs: Sequence[product.KnownRun]) -> list[bytes]:
    """Return the callback that reports the end of each run."""
    paths = [f"/callbacks/{signer.token(run.id)}" for run in runs]
    bodies = [f'{{"runId":"{run.upstream_id}","status":"completed"}}'.encode() for run in runs]
    return [post(path, {}, body) for path, body in zip(paths, bodies, strict=True)]


def submissions(key: str, count: int, prefix: str) -> list[bytes]:
    """Return requests to submit runs, each with a prompt of its own."""
    about = {"agentId": "agent_bench", "tags": {"client": "client_7", "matter": "lease"}}
    task = "Review the lease, list every duty of the landlord, and cite the clause for each. " * 5
    headers = {"authorization": f"Bearer {key}"}
    return [
        post("/v1/runs", headers, json.dumps({**about, "prompt": f"{task}{prefix}_{number}"}).encode())
        for number in range(count)
    ]


#: Seconds before the first request of a rate is due, so that all connections are open by then.
CONNECT = 0.5
#: A request, and the instant at which it is due, or None for at once.
_Due = tuple[float | None, bytes]


class _Connection(asyncio.Protocol):
    """Sends a request once the last one is answered and the next one is due."""

    def __init__(self, requests: Iterator[_Due], tally: Tally, done: asyncio.Future[None]) -> None:
        self._requests, self._tally, self._done = requests, tally, done
        self._buffer = b""
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not asyncio's by class.
        self._transport = cast(asyncio.Transport, transport)
        self._next()

    def _next(self) -> None:
        due_at, request = next(self._requests, (None, b""))
        if not request:
            self._transport.close()
            return
        now = time.perf_counter()
        self._began = now if due_at is None else due_at
        if self._began > now:
            self._loop.call_later(self._began - now, self._transport.write, request)
        else:
            self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, separator, rest = self._buffer.partition(b"\r\n\r\n")
        if not separator or not _is_whole(head.lower(), rest):
            return
        self._buffer = b""
        if head[9:10] == b"2":
            self._tally.seconds.append(time.perf_counter() - self._began)
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


async def run(
    port: int, requests: Sequence[bytes], connections: int, rate: float | None = None
) -> tuple[Tally, float]:
    """Send all requests to a loopback port over several connections; return the tally and the seconds.

    With `rate`, so many fall due in a second.
    """
    loop = asyncio.get_running_loop()
    started = time.perf_counter()
    first_due = started + CONNECT
    tally = Tally()
    queue = iter([(None if rate is None else first_due + at / rate, each) for at, each in enumerate(requests)])
    ends: list[asyncio.Future[None]] = []
    for _ in range(connections):
        ends.append(loop.create_future())
        await loop.create_connection(lambda: _Connection(queue, tally, ends[-1]), "127.0.0.1", port)
    await asyncio.gather(*ends)
    return tally, time.perf_counter() - started
