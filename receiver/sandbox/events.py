"""Platform events, which endpoints they go to and in which order; and the lifecycle of runs, which makes them.

Where the service's interface is silent, the sandbox assumes: an event whose endpoint is not active is kept as a
failed delivery without an attempt (`event_missed_recorded`); a replay carries `case-webhook-replay: true` and is
signed with the current secret alone; a vaultIds scope is compared with the vaults of the run's agent; runs belong
to no matter.
"""

from __future__ import annotations

import asyncio
import dataclasses
import fnmatch
import time
from collections.abc import Mapping
from typing import Any

from receiver.sandbox import endpoints, journal, messages, sending, state

#: The event types that can be subscribed to: type, the scope that a key must have, description.
CATALOGUE = (
    ("agent.run.started", "agent", "An agent run has begun."),
    ("agent.run.completed", "agent", "An agent run has finished successfully."),
    ("agent.run.failed", "agent", "An agent run has ended with an error."),
    ("agent.run.cancelled", "agent", "An agent run was cancelled."),
    ("ocr.job.completed", "ocr", "The text of a document has been read."),
)


@dataclasses.dataclass(frozen=True)
class Events:
    """Sends endpoints the events of runs."""

    world: state.World
    sender: sending.Sender
    registry: endpoints.Registry
    #: The signal that the last event of each endpoint waits for, as long as a later event may pass it.
    waiting: dict[str, asyncio.Event] = dataclasses.field(default_factory=dict)

    def run_started(self, run: state.Run) -> None:
        """Start the deliveries of the event that a run has started, where that is switched on."""
        if self.world.injector.faults.event_started:
            self._announce(run, "started")

    def run_ended(self, run: state.Run) -> list[asyncio.Task[None]]:
        """Start the deliveries of the event that a run has ended, and return the tasks."""
        return self._announce(run, run.status) if run.status in self.world.injector.faults.event_states else []

    def replay(self, earlier: endpoints.Delivery, data: object) -> endpoints.Delivery:
        """Start to send the same event again, with other `data` where that is not None."""
        event = earlier.event if data is None else {**earlier.event, "data": data}
        delivery = self._delivery(earlier.endpoint, event, earlier.run)
        delivery.is_replay = True
        self.registry.keep(delivery)
        if not self.sender.send([self._outgoing(delivery)], 0):
            self.registry.ended(delivery, False, 0)
        return delivery

    async def test(self, endpoint: endpoints.Endpoint, kind: str, data: object) -> tuple[journal.Sent, float]:
        """Make one attempt at a test event, which only the journal keeps; return it and its seconds."""
        delivery = self._delivery(endpoint, self._event(kind, data), None)
        began = time.monotonic()
        sent = await self.sender.attempt(self._outgoing(delivery, "test"))
        return sent, time.monotonic() - began

    def _announce(self, run: state.Run, what: str) -> list[asyncio.Task[None]]:
        kind = f"agent.run.{what}"
        subscribed = [each for each in self.registry.endpoints() if self._is_subscribed(each, kind, run)]
        return [task for endpoint in subscribed for task in self._deliver(endpoint, kind, run)]

    def _is_subscribed(self, endpoint: endpoints.Endpoint, kind: str, run: state.Run) -> bool:
        vaults: Any = self.world.agents[run.agent_id].fields.get("vaultIds") or ()
        scopes = endpoint.resource_scopes or {}
        allowed, matters = scopes.get("vaultIds"), scopes.get("matterIds")
        within = matters is None and (allowed is None or not set(allowed).isdisjoint(vaults))
        return within and any(fnmatch.fnmatchcase(kind, pattern) for pattern in endpoint.event_type_filters)

    def _deliver(self, endpoint: endpoints.Endpoint, kind: str, run: state.Run) -> list[asyncio.Task[None]]:
        """Deliver an event in as many copies as the switches ask for, or record that it was missed."""
        switches = self.world.injector.faults
        event = self._event(kind, {"runId": run.id, "agentId": run.agent_id, "status": run.status})
        if not endpoint.receives:
            missed = self._delivery(endpoint, event, run)
            missed.status = "failed"
            if switches.event_missed_recorded:
                self.registry.keep(missed)
            return []
        deliveries = [self._delivery(endpoint, event, run) for _ in range(1 + switches.event_duplicates)]
        waits, passes = self._order(endpoint)
        copies = [dataclasses.replace(self._outgoing(each), waits=waits, passes=passes) for each in deliveries]
        return self.sender.send(copies, switches.event_drop_rate)

    def _order(self, endpoint: endpoints.Endpoint) -> tuple[asyncio.Event | None, asyncio.Event]:
        """Return what a new event waits for and what it sets: it passes an earlier one that waits, or waits."""
        if not self.world.injector.faults.event_disorder:
            return None, asyncio.Event()
        earlier = self.waiting.pop(endpoint.id, None)
        if earlier is not None and not earlier.is_set():
            return None, earlier
        waits = self.waiting[endpoint.id] = asyncio.Event()
        return waits, asyncio.Event()

    def _event(self, kind: str, data: object) -> dict[str, object]:
        at = messages.instant(self.world.clock())
        return {"id": self.world.new_id("evt"), "type": kind, "occurred_at": at, "data": data}

    def _delivery(
        self, endpoint: endpoints.Endpoint, event: Mapping[str, object], run: state.Run | None
    ) -> endpoints.Delivery:
        return endpoints.Delivery(self.world.new_id("dlv"), endpoint, event, run, self.world.clock())

    def _outgoing(self, delivery: endpoints.Delivery, kind: str = "event") -> sending.Outgoing:
        switches = self.world.injector.faults
        return sending.Outgoing(
            kind=kind,
            run=delivery.run,
            url=delivery.endpoint.url,
            body=delivery.event,
            delay=switches.event_delay,
            retries=switches.event_retries,
            delivery=delivery,
        )


@dataclasses.dataclass(frozen=True)
class Lifecycle:
    """Starts and ends runs, and sends what their watchers and endpoints get. Needs a running event loop."""

    world: state.World
    callbacks: sending.Callbacks
    events: Events
    timers: dict[str, asyncio.TimerHandle] = dataclasses.field(default_factory=dict)

    def start(self, run: state.Run) -> None:
        """Start a queued run, with a timer for its end; raises ApiError with status 404 or 409."""
        self.world.begin(run)
        self.events.run_started(run)
        self.timers[run.id] = asyncio.get_running_loop().call_later(run.seconds, self.finish, run)

    def finish(self, run: state.Run, status: str | None = None) -> list[asyncio.Task[None]]:
        """End a live run, in the state that the switches decide unless `status` is given.

        Return the tasks that send its callbacks and events.
        """
        if run.ended:
            return []
        timer = self.timers.pop(run.id, None)
        if timer is not None:
            timer.cancel()
        self.world.end(run, status or self._outcome(run))
        return [*self.callbacks.run_ended(run), *self.events.run_ended(run)]

    def close(self) -> None:
        for timer in self.timers.values():
            timer.cancel()

    def _outcome(self, run: state.Run) -> str:
        switches = self.world.injector.faults
        marked = any(piece in run.prompt for piece in switches.fail_prompts)
        return "failed" if marked or run.transcript.chance < switches.fail_rate else "completed"
