"""Platform events: which there are, which endpoints they go to, and in which order.

Where the service's interface is silent, the sandbox assumes: an event whose endpoint is not active is kept as a
failed delivery without an attempt (`event_missed_recorded`); a replay carries `case-webhook-replay: true` and is
signed with the current secret alone; a vaultIds scope is compared with the vaults of the run's agent; runs belong
to no matter.
"""

from __future__ import annotations

import asyncio
import fnmatch
import random
import time
from collections.abc import Mapping
from typing import Any

from receiver.sandbox import endpoints, faults, journal, messages, sending, state

#: The event types that can be subscribed to: type, the scope that a key must have, description.
CATALOGUE = (
    ("agent.run.started", "agent", "An agent run has begun."),
    ("agent.run.completed", "agent", "An agent run has finished successfully."),
    ("agent.run.failed", "agent", "An agent run has ended with an error."),
    ("agent.run.cancelled", "agent", "An agent run was cancelled."),
    ("ocr.job.completed", "ocr", "The text of a document has been read."),
)


class Events:
    """Sends endpoints the events of runs."""

    def __init__(
        self,
        world: state.World,
        injector: faults.Injector,
        sender: sending.Sender,
        registry: endpoints.Registry,
        seed: int,
    ) -> None:
        self._world = world
        self._injector = injector
        self._sender = sender
        self._registry = registry
        self._waiting: dict[str, sending.Turn] = {}
        self._ids = random.Random(f"{seed}:deliveries")

    def run_started(self, run: state.Run) -> None:
        """Start the deliveries of the event that a run has started, where that is switched on."""
        if self._injector.faults.event_started:
            self._announce(run, "started")

    def run_ended(self, run: state.Run) -> list[asyncio.Task[None]]:
        """Start the deliveries of the event that a run has ended, and return the tasks."""
        return self._announce(run, run.status) if run.status in self._injector.faults.event_states else []

    def replay(self, earlier: endpoints.Delivery, data: object) -> endpoints.Delivery:
        """Start to send the same event again, with other `data` where that is not None."""
        event = earlier.event if data is None else {**earlier.event, "data": data}
        delivery = self._delivery(earlier.endpoint, event, earlier.run)
        delivery.is_replay = True
        self._registry.keep(delivery)
        selected = self._sender.selected([self._outgoing(delivery, sending.Turn())], 0)
        self._sender.send(selected)
        if not selected:
            self._registry.ended(delivery, False, 0)
        return delivery

    async def test(self, endpoint: endpoints.Endpoint, kind: str, data: object) -> tuple[journal.Sent, float]:
        """Make one attempt at a test event, which only the journal keeps; return it and its seconds."""
        delivery = self._delivery(endpoint, self._event(kind, data), None)
        began = time.monotonic()
        sent = await self._sender.attempt(self._outgoing(delivery, sending.Turn(), "test"))
        return sent, time.monotonic() - began

    def _announce(self, run: state.Run, what: str) -> list[asyncio.Task[None]]:
        kind = f"agent.run.{what}"
        subscribed = [each for each in self._registry.endpoints() if self._is_subscribed(each, kind, run)]
        return [task for endpoint in subscribed for task in self._deliver(endpoint, kind, run)]

    def _is_subscribed(self, endpoint: endpoints.Endpoint, kind: str, run: state.Run) -> bool:
        vaults: Any = self._world.agents[run.agent_id].fields.get("vaultIds") or ()
        scopes = endpoint.resource_scopes or {}
        allowed, matters = scopes.get("vaultIds"), scopes.get("matterIds")
        within = matters is None and (allowed is None or not set(allowed).isdisjoint(vaults))
        return within and any(fnmatch.fnmatchcase(kind, pattern) for pattern in endpoint.event_type_filters)

    def _deliver(self, endpoint: endpoints.Endpoint, kind: str, run: state.Run) -> list[asyncio.Task[None]]:
        """Deliver an event in as many copies as the switches ask for, or keep that it was missed."""
        switches = self._injector.faults
        event = self._event(kind, {"runId": run.id, "agentId": run.agent_id, "status": run.status})
        if not endpoint.receives:
            missed = self._delivery(endpoint, event, run)
            missed.status = "failed"
            if switches.event_missed_recorded:
                self._registry.keep(missed)
            return []
        turn, count = self._turn(endpoint, switches.event_disorder), 1 + switches.event_duplicates
        copies = [self._outgoing(self._delivery(endpoint, event, run), turn) for _ in range(count)]
        return self._sender.send(self._sender.selected(copies, switches.event_drop_rate))

    def _turn(self, endpoint: endpoints.Endpoint, longest: float) -> sending.Turn:
        """Return the turn of a new event: it passes an earlier one that waits, or waits itself."""
        if not longest:
            return sending.Turn()
        earlier = self._waiting.pop(endpoint.id, None)
        if earlier is not None and not earlier.passed.is_set():
            return sending.Turn(longest, passes=earlier.passed)
        turn = self._waiting[endpoint.id] = sending.Turn(longest)
        return turn

    def _event(self, kind: str, data: object) -> dict[str, object]:
        at = messages.instant(self._world.clock())
        return {"id": self._id("evt_"), "type": kind, "occurred_at": at, "data": data}

    def _delivery(
        self, endpoint: endpoints.Endpoint, event: Mapping[str, object], run: state.Run | None
    ) -> endpoints.Delivery:
        return endpoints.Delivery(self._id("dlv_"), endpoint, event, run, self._world.clock())

    def _outgoing(self, delivery: endpoints.Delivery, turn: sending.Turn, kind: str = "event") -> sending.Outgoing:
        switches = self._injector.faults
        return sending.Outgoing(
            kind=kind,
            run=delivery.run,
            url=delivery.endpoint.url,
            body=delivery.event,
            delay=switches.event_delay,
            retries=switches.event_retries,
            delivery=delivery,
            turn=turn,
        )

    def _id(self, prefix: str) -> str:
        return prefix + self._ids.randbytes(12).hex()
