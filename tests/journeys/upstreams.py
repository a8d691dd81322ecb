"""A worker's context whose upstream is a function: for answers that the sandbox cannot give."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import datetime

import httpx2 as httpx

from receiver import clock, telemetry, timeouts
from receiver.upstream import client, large_answers
from receiver.worker import context
from storage.engine.database import Database

Later = Coroutine[None, None, httpx.Response]


@asynccontextmanager
async def answering(
    database: Database,
    answer: Callable[[httpx.Request], httpx.Response] | Callable[[httpx.Request], Later],
    body_limit: int = 1 << 20,
    now: Callable[[], datetime] = clock.now,
    bounds: large_answers.Bounds = large_answers.BOUNDS,
) -> AsyncIterator[context.Context]:
    """Return a context whose upstream answers with this function, through a client with a limit of bytes."""
    counters = telemetry.Telemetry()
    transport = httpx.MockTransport(answer)
    upstream = client.Client("https://upstream.test", "sk_case_1", transport, body_limit=body_limit, bounds=bounds)
    try:
        yield context.Context(database, upstream, timeouts.Timing(), now, lambda _: None, counters, 60.0)
    finally:
        await upstream.aclose()
