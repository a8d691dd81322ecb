"""Platform events: which there are, to which endpoints they go, and how they are signed and kept.

What the service's interface leaves open is taken so: an event whose endpoint is not active is kept as a failed
delivery without an attempt (`event_missed_recorded`), a replay carries the header `case-webhook-replay: true` and
is signed with the current secret alone, a vaultIds scope is compared with the vaults of the run's agent, and runs
belong to no matter.
"""

from __future__ import annotations

import asyncio
import dataclasses
import fnmatch
import random
import time
from collections.abc import Mapping
from typing import Any

from receiver.sandbox import chaos, couriers, journal, signing, subscriptions, turns, views, world

#: What can be subscribed to, with the scope that a key must have for it. Others exist, but happen elsewhere.
CATALOGUE = (
    ("agent.run.started", "agent", "An agent run has begun."),
    ("agent.run.completed", "agent", "An agent run has finished successfully."),
    ("agent.run.failed", "agent", "An agent run has ended with an error."),
    ("agent.run.cancelled", "agent", "An agent run was cancelled."),
    ("ocr.job.completed", "ocr", "The text of a document has been read."),
)
_LOST = (408, 429)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Parcel(couriers.Parcel):
    """One delivery of an event, which heeds its endpoint and keeps its history."""

    record: subscriptions.Delivery
    register: subscriptions.Register
    mischief: chaos.Chaos
    clock: world.Clock
    place: turns.Turn

    def headers(self, body: bytes) -> Mapping[str, str]:
        now, endpoint = self.clock(), self.record.endpoint
        secrets = [endpoint.secret] if self.record.replay else endpoint.secrets(now)
        forged = self.mischief.faults.event_forged
        keys = [b"not the key of this endpoint"] if forged else [secret.key for secret in secrets]
        marker = {"case-webhook-replay": "true"} if self.record.replay else {}
        return {**signing.headers(keys, self.record.id, now, body), **marker}

    def again(self, status: int | None) -> bool:
        return status is None or status in _LOST or status >= 500

    async def turn(self) -> None:
        await self.place.come()

    def wanted(self) -> bool:
        return self.record.endpoint.receives

    def attempted(self, status: int | None) -> None:
        self.register.attempted(self.record, status)
        self.place.over()

    def ended(self, delivered: bool) -> None:
        self.register.ended(self.record, delivered, self.mischief.faults.auto_disable_after)
        self.place.over()


class Events:
    """Tells the endpoints what happens to runs."""

    def __init__(
        self,
        house: world.World,
        mischief: chaos.Chaos,
        post: couriers.Couriers,
        register: subscriptions.Register,
        seed: int,
    ) -> None:
        self._world = house
        self._chaos = mischief
        self._couriers = post
        self._register = register
        self._turns = turns.Turns()
        self._ids = random.Random(f"{seed}:deliveries")

    def announce_start(self, run: world.Run) -> None:
        """The event that a run has started, where that is switched on."""
        if self._chaos.faults.event_started:
            self._announce(run, "started")

    def announce_end(self, run: world.Run) -> list[asyncio.Task[None]]:
        """The event that a run has ended, as deliveries already under way."""
        return self._announce(run, run.status) if run.status in self._chaos.faults.event_states else []

    def replay(self, earlier: subscriptions.Delivery, data: object) -> subscriptions.Delivery:
        """The same event once more, with other `data` where that is not None; its delivery is under way."""
        event = earlier.event if data is None else {**earlier.event, "data": data}
        delivery = self._delivery(earlier.endpoint, event, earlier.run, replay=True)
        self._register.record(delivery)
        sent = self._couriers.sifted([self._parcel(delivery, turns.Turn())], 0)
        self._couriers.send(sent)
        if not sent:
            self._register.ended(delivery, False, 0)
        return delivery

    async def test(self, endpoint: subscriptions.Endpoint, kind: str, data: object) -> tuple[journal.Sent, float]:
        """Send a made-up event at once, once, and keep it nowhere but in the journal: the attempt, its seconds."""
        delivery = self._delivery(endpoint, self._event(kind, data), None)
        begun = time.monotonic()
        sent = await self._couriers.attempt(self._parcel(delivery, turns.Turn(), kind="test"))
        return sent, time.monotonic() - begun

    def _announce(self, run: world.Run, what: str) -> list[asyncio.Task[None]]:
        kind = f"agent.run.{what}"
        tasks = []
        for endpoint in self._register.standing():
            if self._concerns(endpoint, kind, run):
                tasks += self._tell(endpoint, kind, run)
        return tasks

    def _concerns(self, endpoint: subscriptions.Endpoint, kind: str, run: world.Run) -> bool:
        """Whether an endpoint has asked for such an event about such a run."""
        vaults: Any = self._world.agents[run.agent_id].fields.get("vaultIds") or ()
        scopes = endpoint.scopes or {}
        allowed, matters = scopes.get("vaultIds"), scopes.get("matterIds")
        within = matters is None and (allowed is None or not set(allowed).isdisjoint(vaults))
        return within and any(fnmatch.fnmatchcase(kind, pattern) for pattern in endpoint.filters)

    def _tell(self, endpoint: subscriptions.Endpoint, kind: str, run: world.Run) -> list[asyncio.Task[None]]:
        """Deliver an event, once for each copy that the switches want, or keep that it was missed."""
        switches = self._chaos.faults
        event = self._event(kind, {"runId": run.id, "agentId": run.agent_id, "status": run.status})
        if not endpoint.receives:
            missed = self._delivery(endpoint, event, run)
            missed.status = "failed"
            if switches.event_missed_recorded:
                self._register.record(missed)
            return []
        place = self._turns.take(endpoint.id, switches.event_disorder)
        copies = [
            self._parcel(self._delivery(endpoint, event, run), place) for _ in range(1 + switches.event_duplicates)
        ]
        sent = self._couriers.sifted(copies, switches.event_drop_rate)
        for parcel in sent:
            self._register.record(parcel.record)
        return self._couriers.send(sent)

    def _event(self, kind: str, data: object) -> dict[str, object]:
        at = views.instant(self._world.clock())
        return {"id": self._id("evt_"), "type": kind, "occurred_at": at, "data": data}

    def _delivery(
        self,
        endpoint: subscriptions.Endpoint,
        event: Mapping[str, object],
        run: world.Run | None,
        *,
        replay: bool = False,
    ) -> subscriptions.Delivery:
        return subscriptions.Delivery(self._id("dlv_"), endpoint, event, run, self._world.clock(), replay)

    def _parcel(self, delivery: subscriptions.Delivery, place: turns.Turn, kind: str = "event") -> Parcel:
        switches = self._chaos.faults
        return Parcel(
            kind=kind,
            run=delivery.run,
            url=delivery.endpoint.url,
            body=delivery.event,
            delay=switches.event_delay,
            retries=switches.event_retries,
            event=delivery.event["id"],
            delivery=delivery.id,
            record=delivery,
            register=self._register,
            mischief=self._chaos,
            clock=self._world.clock,
            place=place,
        )

    def _id(self, prefix: str) -> str:
        return prefix + self._ids.randbytes(12).hex()
