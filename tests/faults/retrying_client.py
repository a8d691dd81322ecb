"""Repeat a request until it is acknowledged, as a careful sender does, and count its answers."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx2 as httpx

#: Seconds that a sender waits for an answer, and before it retries.
TIMEOUT = 15.0
PAUSE = (0.05, 0.6)
#: Statuses that are retried: the server is not available now.
AGAIN = (502, 503)


@dataclass
class Tally:
    """How requests were answered, by subject; `unexpected` are answers that must not occur."""

    requests: Counter[str] = field(default_factory=Counter)
    acknowledged: Counter[str] = field(default_factory=Counter)
    busy: Counter[str] = field(default_factory=Counter)
    unanswered: Counter[str] = field(default_factory=Counter)
    unexpected: list[str] = field(default_factory=list)
    last: float = field(default_factory=time.monotonic)
    longest_gap: float = 0.0

    def answered(self, what: str, answer: httpx.Response | None) -> None:
        """Record one request with its answer, or with none."""
        self.requests[what] += 1
        if answer is None:
            self.unanswered[what] += 1
        elif answer.is_success:
            self.acknowledged[what] += 1
            self._note_success(time.monotonic())
        elif answer.status_code in AGAIN:
            self.busy[what] += 1
        else:
            self.unexpected.append(f"{what}: {answer.status_code} {answer.text[:200]}")

    def _note_success(self, now: float) -> None:
        self.longest_gap, self.last = max(self.longest_gap, now - self.last), now


@dataclass(frozen=True)
class Caller:
    """A client of the load balancer. Without `kept` each request has a connection of its own."""

    client: httpx.AsyncClient
    tally: Tally
    chance: random.Random

    async def once(self, what: str, method: str, url: str, **options: Any) -> httpx.Response | None:
        """Send a request once; return None where no answer came."""
        try:
            answer = await self.client.request(method, url, **options)
        except httpx.TransportError:
            self.tally.answered(what, None)
            return None
        self.tally.answered(what, answer)
        return answer

    async def retry(
        self, what: str, method: str, url: str, *, tries: int = 1000, **options: Any
    ) -> httpx.Response | None:
        """Repeat a request until the answer is not 503; return None after this many `tries`."""
        for _ in range(tries):
            answer = await self.once(what, method, url, **options)
            if answer is not None and answer.status_code not in AGAIN:
                return answer
            await self.sleep(*PAUSE)
        return None

    async def sleep(self, least: float, most: float) -> None:
        """Sleep for a random number of seconds."""
        await asyncio.sleep(self.chance.uniform(least, most))


def client(url: str, headers: Mapping[str, str] | None = None, *, kept: bool = True) -> httpx.AsyncClient:
    """Open a client of the load balancer; with `kept` its connections stay on one replica while that lives."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=20 if kept else 0)
    return httpx.AsyncClient(
        base_url=url, headers=dict(headers or {}), timeout=TIMEOUT, limits=limits, trust_env=False
    )
