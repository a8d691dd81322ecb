"""Calls and sent messages that wait until they are released, for tests that need an order of things.

A call held by `hold` waits before its work begins. It keeps waiting when its client has hung up, and its work is
done once it is released, like that of a delayed call. A call held by `hold_answer` has done its work and ends with
its client. Callbacks and events are held before their first attempt.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import Callable

from starlette.types import Receive

from receiver.sandbox import rules

#: Seconds after which something that nobody releases continues by itself.
LONGEST = 600.0


@dataclasses.dataclass(eq=False)
class Held:
    """A call or sent message, held since `at` (seconds since 1970); `abandoned` once its client has hung up."""

    action: str
    subject: rules.Subject
    body: object
    at: float = 0.0
    abandoned: bool = False
    released: asyncio.Event = dataclasses.field(default_factory=asyncio.Event)

    def as_json(self) -> dict[str, object]:
        about = {"route": self.subject.route, "run": self.subject.run, "prompt": self.subject.prompt[:200]}
        return {"action": self.action, **about, "body": self.body, "at": self.at, "abandoned": self.abandoned}


class Holds:
    """Everything that is held now, the oldest first."""

    def __init__(self, clock: Callable[[], float], longest: float = LONGEST) -> None:
        self._clock = clock
        self._longest = longest
        self._held: list[Held] = []
        self._closed = False

    async def wait(self, held: Held) -> bool:
        """Wait for the release or the longest time; return False where the sandbox stops and nothing follows."""
        held.at = self._clock()
        if self._closed:
            return False
        self._held.append(held)
        try:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(held.released.wait(), self._longest)
        finally:
            self._held = [other for other in self._held if other is not held]
        return not self._closed

    async def wait_with_client(self, held: Held, receive: Receive) -> bool:
        """Wait as `wait` does, for a call whose body has been read: `receive` returns when its client hangs up."""

        async def watch() -> None:
            await receive()
            held.abandoned = True
            if held.action == "hold_answer":
                held.released.set()

        async with asyncio.TaskGroup() as group:
            watching = group.create_task(watch())
            continues = await self.wait(held)
            watching.cancel()
        return continues

    def release(self, route: str | None = None) -> int:
        """Release everything that is held now, or that of one route; return how many there were."""
        freed = [held for held in self._held if route in (None, held.subject.route)]
        self._held = [held for held in self._held if held not in freed]
        for held in freed:
            held.released.set()
        return len(freed)

    def close(self) -> None:
        """End what is held now or later without doing its work, since the sandbox stops."""
        self._closed = True
        self.release()

    def as_json(self) -> list[dict[str, object]]:
        return [held.as_json() for held in self._held]
