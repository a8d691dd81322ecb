"""Disorder: events that are sent to one endpoint overtake one another, in pairs."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses


@dataclasses.dataclass(frozen=True)
class Turn:
    """When an event may be sent: at once, or once a later one has been, or when its patience (seconds) ends."""

    patience: float = 0.0
    overtaken: asyncio.Event = dataclasses.field(default_factory=asyncio.Event)
    overtakes: asyncio.Event | None = None

    async def come(self) -> None:
        """Wait until it may be sent."""
        if self.patience and self.overtakes is None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.overtaken.wait(), self.patience)
        self.overtaken.set()

    def over(self) -> None:
        """It has been sent: the one that it overtakes may follow."""
        if self.overtakes is not None:
            self.overtakes.set()


class Turns:
    """The events that wait to be overtaken, by endpoint."""

    def __init__(self) -> None:
        self._waiting: dict[str, Turn] = {}

    def take(self, endpoint_id: str, patience: float) -> Turn:
        """The turn of a new event: it waits, unless an earlier one waits for it."""
        if not patience:
            return Turn()
        earlier = self._waiting.pop(endpoint_id, None)
        if earlier is not None and not earlier.overtaken.is_set():
            return Turn(patience, overtakes=earlier.overtaken)
        turn = self._waiting[endpoint_id] = Turn(patience)
        return turn
