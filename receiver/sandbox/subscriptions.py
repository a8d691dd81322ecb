"""The webhook endpoints, their secrets, and the history of what was delivered to them."""

from __future__ import annotations

import base64
import dataclasses
import random
from collections.abc import Mapping
from typing import Any

from receiver.sandbox import answers, signing, world

ENDPOINT_STATES = ("active", "disabled", "auto_disabled")
DELIVERY_STATES = ("pending", "delivered", "failed")
_KEPT = 20_000


@dataclasses.dataclass(frozen=True)
class Secret:
    """A signing secret as it is shown; `encoding` says how it holds the key, only a former one expires."""

    text: str
    encoding: str
    expires_at: float | None = None

    @property
    def key(self) -> bytes:
        return signing.signing_key(self.text, self.encoding)


@dataclasses.dataclass
class Endpoint:
    """A webhook endpoint; `failures` counts the deliveries that failed since the last that did not."""

    id: str
    ordinal: int
    url: str
    description: str | None
    filters: list[str]
    scopes: Mapping[str, list[str] | None] | None
    secret: Secret
    created_at: float
    updated_at: float
    previous: Secret | None = None
    rotations: int = 0
    rotated_at: float | None = None
    status: str = "active"
    failures: int = 0
    last_delivery_at: float | None = None
    deleted: bool = False

    @property
    def receives(self) -> bool:
        """Whether events are sent to it."""
        return self.status == "active" and not self.deleted

    def secrets(self, now: float) -> list[Secret]:
        """The secrets that sign now, newest first."""
        previous = self.previous
        held_over = previous is not None and previous.expires_at is not None and now < previous.expires_at
        return [self.secret, previous] if previous is not None and held_over else [self.secret]


@dataclasses.dataclass
class Delivery:
    """An event on its way to an endpoint, or where that ended; `event` is the envelope, `run` what it is about."""

    id: str
    endpoint: Endpoint
    event: Mapping[str, Any]
    run: world.Run | None
    created_at: float
    replay: bool = False
    status: str = "pending"
    attempts: int = 0
    response_status: int | None = None
    last_attempt_at: float | None = None


class Register:
    """Every endpoint there was, and the newest 20,000 deliveries."""

    def __init__(self, seed: int, clock: world.Clock) -> None:
        self._seed = seed
        self._clock = clock
        self._endpoints: dict[str, Endpoint] = {}
        self._deliveries: dict[str, Delivery] = {}

    def add(
        self,
        url: str,
        description: str | None,
        filters: list[str],
        scopes: Mapping[str, list[str] | None] | None,
        encoding: str,
    ) -> Endpoint:
        ordinal, now = len(self._endpoints), self._clock()
        endpoint_id = "whe_" + random.Random(f"{self._seed}:endpoint:{ordinal}").randbytes(12).hex()
        secret = self._secret(f"{ordinal}", encoding)
        endpoint = Endpoint(endpoint_id, ordinal, url, description, filters, scopes, secret, now, now)
        self._endpoints[endpoint.id] = endpoint
        return endpoint

    def endpoint(self, endpoint_id: str) -> Endpoint:
        """The endpoint of that id; a Refusal with status 404 where there is none or it was deleted."""
        endpoint = self._endpoints.get(endpoint_id)
        if endpoint is None or endpoint.deleted:
            raise answers.Refusal(404, "Endpoint not found")
        return endpoint

    def standing(self) -> list[Endpoint]:
        """Those that were not deleted, oldest first."""
        return [endpoint for endpoint in self._endpoints.values() if not endpoint.deleted]

    def update(self, endpoint: Endpoint, changes: Mapping[str, Any]) -> None:
        """Set fields by their names here. Who is made active again begins without failures."""
        if changes.get("status") == "active" and endpoint.status != "active":
            endpoint.failures = 0
        for name, value in changes.items():
            setattr(endpoint, name, value)
        endpoint.updated_at = self._clock()

    def delete(self, endpoint: Endpoint) -> None:
        """Softly: what was delivered to it stays in the history."""
        endpoint.deleted = True

    def rotate(self, endpoint: Endpoint, grace: float, encoding: str) -> None:
        """A new secret; the present one signs beside it for `grace` seconds, any earlier one no longer."""
        now = self._clock()
        endpoint.rotations += 1
        endpoint.previous = dataclasses.replace(endpoint.secret, expires_at=now + grace)
        endpoint.secret = self._secret(f"{endpoint.ordinal}:{endpoint.rotations}", encoding)
        endpoint.rotated_at = endpoint.updated_at = now

    def record(self, delivery: Delivery) -> None:
        """Into the history, from which the oldest goes."""
        self._deliveries[delivery.id] = delivery
        if len(self._deliveries) > _KEPT:
            del self._deliveries[next(iter(self._deliveries))]

    def delivery(self, delivery_id: str) -> Delivery:
        """The delivery of that id, or a Refusal with status 404."""
        if delivery_id not in self._deliveries:
            raise answers.Refusal(404, "Delivery not found")
        return self._deliveries[delivery_id]

    def history(self, endpoint_id: str | None, status: str | None) -> list[Delivery]:
        """What was delivered, newest first, also to endpoints that are gone."""
        return [
            delivery
            for delivery in reversed(self._deliveries.values())
            if endpoint_id in (None, delivery.endpoint.id) and status in (None, delivery.status)
        ]

    def attempted(self, delivery: Delivery, status: int | None) -> None:
        """An attempt is over; `status` is null where no answer came."""
        delivery.attempts += 1
        delivery.response_status = status
        delivery.last_attempt_at = delivery.endpoint.last_delivery_at = self._clock()

    def ended(self, delivery: Delivery, delivered: bool, auto_disable_after: int) -> None:
        """No attempt follows. So many failures in a row (0 for never) disable an active endpoint."""
        endpoint = delivery.endpoint
        delivery.status = "delivered" if delivered else "failed"
        endpoint.failures = 0 if delivered else endpoint.failures + 1
        if endpoint.receives and 0 < auto_disable_after <= endpoint.failures:
            endpoint.status = "auto_disabled"
            endpoint.updated_at = self._clock()

    def _secret(self, name: str, encoding: str) -> Secret:
        key = random.Random(f"{self._seed}:secret:{name}").randbytes(32)
        held = base64.b64encode(key).decode() if encoding == "base64" else key.hex()
        return Secret("whsec_" + held, encoding)
