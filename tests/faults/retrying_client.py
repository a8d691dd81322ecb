"""Request until it is acknowledged, as a careful sender does, and counting how each request was answered."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx2 as httpx

#: Seconds that a sender waits for an answer, and before it asks again.
PATIENCE = 15.0
PAUSE = (0.05, 0.6)
#: What is asked again: a server that cannot just now. Nothing else is expected.
AGAIN = (502, 503)


@dataclass
class Tally:
    """How requests were answered, by what was asked; `odd` are answers that must not occur."""

    requests: Counter[str] = field(default_factory=Counter)
    acknowledged: Counter[str] = field(default_factory=Counter)
    busy: Counter[str] = field(default_factory=Counter)
    unanswered: Counter[str] = field(default_factory=Counter)
    odd: list[str] = field(default_factory=list)
    last: float = field(default_factory=time.monotonic)
    longest_silence: float = 0.0

    def answered(self, what: str, answer: httpx.Response | None) -> None:
        """Notes one request with its answer, or with none."""
        self.requests[what] += 1
        if answer is None:
            self.unanswered[what] += 1
        elif answer.is_success:
            self.acknowledged[what] += 1
            self._note_success(time.monotonic())
        elif answer.status_code in AGAIN:
            self.busy[what] += 1
        else:
            self.odd.append(f"{what}: {answer.status_code} {answer.text[:200]}")

    def _note_success(self, now: float) -> None:
        self.longest_silence, self.last = max(self.longest_silence, now - self.last), now


@dataclass(frozen=True)
class Caller:
    """A client of the load balancer. Without `kept` each request has a connection of its own."""

    client: httpx.AsyncClient
    tally: Tally
    chance: random.Random

    async def once(self, what: str, method: str, url: str, **options: Any) -> httpx.Response | None:
        """One request; None where nothing was answered."""
        try:
            answer = await self.client.request(method, url, **options)
        except httpx.TransportError:
            self.tally.answered(what, None)
            return None
        self.tally.answered(what, answer)
        return answer

    async def until_answered(
        self, what: str, method: str, url: str, *, tries: int = 1000, **options: Any
    ) -> httpx.Response | None:
        """Asks until there is an answer other than that it cannot be done now; None after so many `tries`."""
        for _ in range(tries):
            answer = await self.once(what, method, url, **options)
            if answer is not None and answer.status_code not in AGAIN:
                return answer
            await self.rest(*PAUSE)
        return None

    async def rest(self, least: float, most: float) -> None:
        """Does nothing for a random while, in seconds."""
        await asyncio.sleep(self.chance.uniform(least, most))


def client(url: str, headers: Mapping[str, str] | None = None, *, kept: bool = True) -> httpx.AsyncClient:
    """A client of the load balancer; with `kept` its connections stay on one replica for as long as that lives."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=20 if kept else 0)
    return httpx.AsyncClient(
        base_url=url, headers=dict(headers or {}), timeout=PATIENCE, limits=limits, trust_env=False
    )
