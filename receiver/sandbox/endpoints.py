"""The webhook endpoints, their secrets and signatures, and the history of deliveries.

Signatures are those of Standard Webhooks under the service's own header names: `case-webhook-signature` is `v1,`
and the base64 of HMAC-SHA256 over `<delivery id>.<unix seconds>.<body>`; several are separated by a space.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import hmac
from collections.abc import Mapping
from typing import Any

from receiver.sandbox import messages, state

ENDPOINT_STATES = ("active", "disabled", "auto_disabled")
DELIVERY_STATES = ("pending", "delivered", "failed")
_KEPT = 20_000


def signature(key: bytes, delivery: str, timestamp: str, body: bytes) -> str:
    """Return one value of the signature header: `v1,<base64>`."""
    mac = hmac.new(key, f"{delivery}.{timestamp}.".encode() + body, hashlib.sha256)
    return "v1," + base64.b64encode(mac.digest()).decode()


@dataclasses.dataclass(frozen=True)
class Secret:
    """A signing secret as it is shown, and its key; only a former secret expires."""

    text: str
    key: bytes
    expires_at: float = 0.0


@dataclasses.dataclass
class Endpoint:
    """A webhook endpoint; instants are seconds since 1970."""

    id: str
    secret: Secret
    created_at: float
    updated_at: float
    url: str
    event_type_filters: list[str]
    description: str | None = None
    resource_scopes: Mapping[str, list[str] | None] | None = None
    previous: Secret | None = None
    secret_rotated_at: float | None = None
    status: str = "active"
    consecutive_failures: int = 0
    last_delivery_at: float | None = None
    deleted: bool = False

    @property
    def receives(self) -> bool:
        return self.status == "active" and not self.deleted

    def secrets(self, now: float) -> list[Secret]:
        """Return the secrets that sign now, newest first."""
        previous = [self.previous] if self.previous is not None and now < self.previous.expires_at else []
        return [self.secret, *previous]


@dataclasses.dataclass
class Delivery:
    """The delivery of an event to an endpoint; `event` is the envelope, `run` the run that it reports."""

    id: str
    endpoint: Endpoint
    event: Mapping[str, Any]
    run: state.Run | None
    created_at: float
    is_replay: bool = False
    status: str = "pending"
    attempts: int = 0
    response_status: int | None = None
    last_attempt_at: float | None = None


class Registry:
    """Every endpoint there was, and the newest 20,000 deliveries."""

    def __init__(self, world: state.World) -> None:
        self._world = world
        self._endpoints: dict[str, Endpoint] = {}
        self._deliveries: dict[str, Delivery] = {}

    def add(self, fields: Mapping[str, Any], encoding: str) -> Endpoint:
        now = self._world.clock()
        endpoint = Endpoint(self._world.new_id("whe"), self._secret(encoding), now, now, **fields)
        self._endpoints[endpoint.id] = endpoint
        return endpoint

    def endpoint(self, endpoint_id: str) -> Endpoint:
        """Return the endpoint with that id that was not deleted; raises ApiError with status 404."""
        endpoint = self._endpoints.get(endpoint_id)
        if endpoint is None or endpoint.deleted:
            raise messages.ApiError(404, "Endpoint not found")
        return endpoint

    def endpoints(self) -> list[Endpoint]:
        return [endpoint for endpoint in self._endpoints.values() if not endpoint.deleted]

    def update(self, endpoint: Endpoint, changes: Mapping[str, Any]) -> None:
        """Set fields by their names; an endpoint that becomes active again starts without failures."""
        if changes.get("status") == "active" and endpoint.status != "active":
            endpoint.consecutive_failures = 0
        for name, value in changes.items():
            setattr(endpoint, name, value)
        endpoint.updated_at = self._world.clock()

    def rotate(self, endpoint: Endpoint, grace: float, encoding: str) -> None:
        """Make a new secret; the present one signs beside it for `grace` seconds, any earlier one no longer."""
        now = self._world.clock()
        endpoint.previous = dataclasses.replace(endpoint.secret, expires_at=now + grace)
        endpoint.secret = self._secret(encoding)
        endpoint.secret_rotated_at = endpoint.updated_at = now

    def keep(self, delivery: Delivery) -> None:
        self._deliveries[delivery.id] = delivery
        if len(self._deliveries) > _KEPT:
            del self._deliveries[next(iter(self._deliveries))]

    def delivery(self, delivery_id: str) -> Delivery:
        """Return the delivery with that id; raises ApiError with status 404."""
        if delivery_id not in self._deliveries:
            raise messages.ApiError(404, "Delivery not found")
        return self._deliveries[delivery_id]

    def history(self, endpoint_id: str | None, status: str | None) -> list[Delivery]:
        """Return the deliveries, newest first, also those to deleted endpoints."""
        return [
            delivery
            for delivery in reversed(self._deliveries.values())
            if endpoint_id in (None, delivery.endpoint.id) and status in (None, delivery.status)
        ]

    def headers(self, delivery: Delivery, body: bytes, *, forged: bool) -> dict[str, str]:
        """Return the headers of an attempt that is made now; a replay is signed with the current secret alone."""
        now, endpoint = self._world.clock(), delivery.endpoint
        keys = [secret.key for secret in ([endpoint.secret] if delivery.is_replay else endpoint.secrets(now))]
        keys = [b"not the key of this endpoint"] if forged else keys
        timestamp = str(int(now))
        signed = {
            "case-webhook-id": delivery.id,
            "case-webhook-timestamp": timestamp,
            "case-webhook-signature": " ".join(signature(key, delivery.id, timestamp, body) for key in keys),
        }
        return {**signed, "case-webhook-replay": "true"} if delivery.is_replay else signed

    def attempted(self, delivery: Delivery, status: int | None) -> None:
        """Note the end of an attempt; `status` is None where no answer came."""
        delivery.attempts += 1
        delivery.response_status = status
        delivery.last_attempt_at = delivery.endpoint.last_delivery_at = self._world.clock()

    def ended(self, delivery: Delivery, delivered: bool, auto_disable_after: int) -> None:
        """Note that no attempt follows. A given number of failures in a row disables the endpoint (0: never)."""
        endpoint = delivery.endpoint
        delivery.status = "delivered" if delivered else "failed"
        endpoint.consecutive_failures = 0 if delivered else endpoint.consecutive_failures + 1
        if endpoint.receives and 0 < auto_disable_after <= endpoint.consecutive_failures:
            self.update(endpoint, {"status": "auto_disabled"})

    def _secret(self, encoding: str) -> Secret:
        """Return a new secret, which holds its key in one of `faults.ENCODINGS`."""
        key = self._world.new_bytes("secret", 32)
        text = base64.b64encode(key).decode() if encoding == "base64" else key.hex()
        return Secret(f"whsec_{text}", text.encode() if encoding == "raw" else key)
