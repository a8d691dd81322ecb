"""The handlers of /webhooks/v1: endpoints, the types of events, and the history of deliveries."""

from __future__ import annotations

import dataclasses
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from receiver.sandbox import endpoints, events, messages, state

_GRACE = 86_400
_LONGEST_GRACE = 2_592_000
_HIGHEST_LIMIT = 100


def _filters(value: object) -> bool:
    return isinstance(value, list) and messages.texts_or_null(value) and bool(value) and all(value)


def _scopes(value: object) -> bool:
    if not isinstance(value, dict):
        return value is None
    return all(messages.texts_or_null(value.get(name)) for name in ("vaultIds", "matterIds"))


def _grace(value: object) -> bool:
    """Check whole seconds; 60.0 is as whole as 60."""
    whole = int(value) if isinstance(value, float) and value.is_integer() else value
    return messages.whole(0, _LONGEST_GRACE)(whole)


def _object(value: object) -> bool:
    return isinstance(value, dict)


_FIELDS: dict[str, messages.Check] = {
    "url": messages.text,
    "description": messages.text_or_null,
    "eventTypeFilters": _filters,
    "resourceScopes": _scopes,
}
_CHANGES: dict[str, messages.Check] = {**_FIELDS, "status": ("active", "disabled").__contains__}
_NAMES = {"eventTypeFilters": "event_type_filters", "resourceScopes": "resource_scopes"}
_ENDPOINT = (
    "id", "url", "description", "event_type_filters", "resource_scopes", "status", "consecutive_failures",
    "created_at", "updated_at", "last_delivery_at", "secret_rotated_at",
)  # fmt: skip
_DELIVERY = ("id", "status", "attempts", "response_status", "created_at", "last_attempt_at", "is_replay")


@dataclasses.dataclass(frozen=True)
class Endpoints:
    """Create, list, show, change, delete, rotate and test webhook endpoints."""

    world: state.World
    events: events.Events
    registry: endpoints.Registry
    public_only: bool

    async def create(self, request: Request) -> messages.Json:
        """Answer 201; only this answer, and that of a rotation, shows a signing secret."""
        required = ("url", "eventTypeFilters")
        fields: dict[str, Any] = messages.fields(await request.body(), _FIELDS, required=required)
        self._check_url(fields)
        endpoint = self.registry.add(_record(fields), self.world.injector.faults.event_key_encoding)
        return messages.Json(self._with_secret(endpoint), status_code=201)

    async def list(self, request: Request) -> messages.Json:
        limit = messages.limit(request.query_params.get("limit"), _HIGHEST_LIMIT)
        status = messages.one_of(request.query_params.get("status"), endpoints.ENDPOINT_STATES, "status")
        found = [each for each in reversed(self.registry.endpoints()) if status in (None, each.status)]
        return messages.Json({"endpoints": [self._shown(endpoint) for endpoint in found[:limit]]})

    async def get(self, request: Request) -> messages.Json:
        return messages.Json(self._shown(self._named(request)))

    async def update(self, request: Request) -> messages.Json:
        endpoint = self._named(request)
        fields = messages.fields(await request.body(), _CHANGES)
        self._check_url(fields)
        self.registry.update(endpoint, _record(fields))
        return messages.Json(self._shown(endpoint))

    async def delete(self, request: Request) -> Response:
        # Softly: its deliveries stay in the history.
        self._named(request).deleted = True
        return Response(status_code=204)

    async def rotate_secret(self, request: Request) -> messages.Json:
        endpoint, body = self._named(request), await request.body() or b"{}"
        fields: dict[str, Any] = messages.fields(body, {"previousSecretExpiresInSec": _grace})
        grace = fields.get("previousSecretExpiresInSec", _GRACE)
        self.registry.rotate(endpoint, grace, self.world.injector.faults.event_key_encoding)
        return messages.Json(self._with_secret(endpoint))

    async def test(self, request: Request) -> messages.Json:
        """Answer when the endpoint has answered or failed to, also for one that is disabled."""
        endpoint, body = self._named(request), await request.body() or b"{}"
        fields: dict[str, Any] = messages.fields(body, {"eventType": messages.text, "payload": _object})
        data = fields.get("payload", {"message": "This is a test event."})
        sent, seconds = await self.events.test(endpoint, fields.get("eventType", "webhook.test"), data)
        shown = {"delivered": sent.delivered, "responseStatus": sent.status, "error": sent.error}
        return messages.Json({**shown, "durationMs": round(seconds * 1000)})

    async def event_types(self, request: Request) -> messages.Json:
        names = ("type", "scope", "description")
        types = [{**dict(zip(names, each, strict=True)), "stability": "stable"} for each in events.CATALOGUE]
        return messages.Json({"eventTypes": types})

    def _named(self, request: Request) -> endpoints.Endpoint:
        return self.registry.endpoint(request.path_params["id"])

    def _check_url(self, fields: messages.Object) -> None:
        if "url" in fields:
            messages.target(fields["url"], public_only=self.public_only, field="url")

    def _with_secret(self, endpoint: endpoints.Endpoint) -> messages.Object:
        return {**self._shown(endpoint), "signingSecret": endpoint.secret.text}

    def _shown(self, endpoint: endpoints.Endpoint) -> messages.Object:
        """Return an endpoint without its secrets; the interface names no fields, so these are its requests'."""
        previous = endpoint.secrets(self.world.clock())[1:]
        expires = messages.instant(previous[0].expires_at) if previous else None
        return {**messages.shown(endpoint, *_ENDPOINT), "previousSecretExpiresAt": expires}


@dataclasses.dataclass(frozen=True)
class Deliveries:
    """List, show and replay deliveries of events."""

    registry: endpoints.Registry
    events: events.Events

    async def list(self, request: Request) -> messages.Json:
        """Answer the newest first; an endpoint that is gone is found by its id."""
        params = request.query_params
        limit = messages.limit(params.get("limit"), _HIGHEST_LIMIT)
        status = messages.one_of(params.get("status"), endpoints.DELIVERY_STATES, "status")
        found = self.registry.history(params.get("endpoint_id"), status)
        return messages.Json({"deliveries": [_delivery(delivery) for delivery in found[:limit]]})

    async def get(self, request: Request) -> messages.Json:
        return messages.Json(_delivery(self.registry.delivery(request.path_params["id"])))

    async def replay(self, request: Request) -> messages.Json:
        """Answer the new delivery while it is pending; raises ApiError with status 409 for a disabled endpoint."""
        earlier = self.registry.delivery(request.path_params["id"])
        fields = messages.fields(await request.body() or b"{}", {"payload": _object})
        endpoint = self.registry.endpoint(earlier.endpoint.id)
        if not endpoint.receives:
            raise messages.ApiError(409, f"Endpoint is no longer active (status: {endpoint.status})")
        return messages.Json(_delivery(self.events.replay(earlier, fields.get("payload"))))


def _record(fields: messages.Object) -> messages.Object:
    """Return the fields of a request under the names of `endpoints.Endpoint`."""
    return {_NAMES.get(name, name): value for name, value in fields.items()}


def _delivery(delivery: endpoints.Delivery) -> messages.Object:
    return {
        **messages.shown(delivery, *_DELIVERY),
        "endpointId": delivery.endpoint.id,
        "eventId": delivery.event["id"],
        "eventType": delivery.event["type"],
        "occurredAt": delivery.event["occurred_at"],
    }
