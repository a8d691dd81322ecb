"""What waits until it is released: gates for tests that need an order of things, in place of seconds.

A call held by `hold` waits before its work is begun. It waits on when its client has hung up, and its work is
done once it is released, as that of a delayed call is. One held by `hold_answer` has done its work and ends with
its client. Callbacks and events are held before their first attempt.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses

from starlette.types import Receive

from receiver.sandbox import rules, world

#: Seconds after which a thing that nobody releases goes on by itself.
PATIENCE = 600.0
_PIECE = 200


@dataclasses.dataclass(eq=False)
class Held:
    """A call or parcel that waits since `at` (seconds since 1970); `abandoned` once its client has hung up."""

    action: str
    subject: rules.Subject
    body: object
    at: float = 0.0
    abandoned: bool = False
    released: asyncio.Event = dataclasses.field(default_factory=asyncio.Event)

    def as_json(self) -> dict[str, object]:
        """Its route, run, the beginning of the prompt, and its body."""
        told = {"route": self.subject.route, "run": self.subject.run, "prompt": self.subject.prompt[:_PIECE]}
        return {"action": self.action, **told, "body": self.body, "at": self.at, "abandoned": self.abandoned}


class Holds:
    """Everything that waits now, the oldest first."""

    def __init__(self, clock: world.Clock, patience: float = PATIENCE) -> None:
        self._clock = clock
        self._patience = patience
        self._held: list[Held] = []
        self._closed = False

    async def wait(self, held: Held) -> bool:
        """Wait until released, at most for the patience; False where the sandbox stops and nothing follows."""
        held.at = self._clock()
        self._held.append(held)
        if self._closed:
            held.released.set()
        try:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(held.released.wait(), self._patience)
        finally:
            self._held = [other for other in self._held if other is not held]
        return not self._closed

    async def wait_with_client(self, held: Held, receive: Receive) -> bool:
        """As `wait`, for a call whose body has been read: `receive` tells when its client hangs up."""

        async def watch() -> None:
            await receive()
            held.abandoned = True
            if held.action == "hold_answer":
                held.released.set()

        async with asyncio.TaskGroup() as group:
            watching = group.create_task(watch())
            goes_on = await self.wait(held)
            watching.cancel()
        return goes_on

    def release(self, route: str | None = None) -> int:
        """Let everything go on that is held now, or that of one route; the answer is how many it was."""
        freed = [held for held in self._held if route in (None, held.subject.route)]
        self._held = [held for held in self._held if held not in freed]
        for held in freed:
            held.released.set()
        return len(freed)

    def close(self) -> None:
        """The sandbox stops: what is held now or later ends undone."""
        self._closed = True
        self.release()

    def as_json(self) -> list[dict[str, object]]:
        return [held.as_json() for held in self._held]
