"""The names of the organisation's agents, asked for where a person chooses one, and kept for a minute."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Protocol

from receiver import errors

#: How long names are kept, and the longest wait for them, in seconds.
KEPT, LONGEST_WAIT = 60.0, 3.0


class Asked(Protocol):
    """What knows the agents: the client of the upstream."""

    async def agents(self) -> dict[str, str]: ...


class AgentNames:
    """The names by id. Without a client, or while the upstream does not answer, those that were known before."""

    def __init__(self) -> None:
        self.client: Asked | None = None
        self._names: Mapping[str, str] = {}
        self._asked_at = float("-inf")

    async def __call__(self) -> Mapping[str, str]:
        now = asyncio.get_running_loop().time()
        if self.client is not None and now - self._asked_at > KEPT:
            self._asked_at = now
            with contextlib.suppress(errors.UpstreamError, TimeoutError):
                async with asyncio.timeout(LONGEST_WAIT):
                    self._names = await self.client.agents()
        return self._names
