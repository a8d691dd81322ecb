"""The upstream's webhook endpoints, to which platform events are sent, and the history of deliveries.

The form of the answers is not documented, so a field is looked for under each likely spelling, and only an id is
required. An answer that shows a signing secret never becomes part of an error.
"""

from __future__ import annotations

import dataclasses
import datetime
import fnmatch
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from receiver import errors
from receiver.upstream import exchange, routes, sanitize
from storage.repositories import webhook_endpoints

_Value = TypeVar("_Value")
#: The event types that we subscribe to, and the type of a test event.
EVENTS = "agent.run.*"
TEST = "webhook.test"
#: Endpoints or deliveries that one list call returns at most.
PAGE = 100


@dataclasses.dataclass(frozen=True, slots=True)
class Endpoint:
    """An endpoint as the upstream shows it; missing fields are None, and `filters` is empty."""

    id: str
    url: str | None = None
    status: str | None = None
    filters: tuple[str, ...] = ()
    failures: int | None = None
    rotated_at: datetime.datetime | None = None
    previous_ends_at: datetime.datetime | None = None
    delivered_at: datetime.datetime | None = None

    def receives(self, kind: str) -> bool:
        """Return whether events of this type are sent to it, as far as is known."""
        return not self.filters or any(fnmatch.fnmatchcase(kind, pattern) for pattern in self.filters)


@dataclasses.dataclass(frozen=True, slots=True)
class EndpointWithSecret:
    """An endpoint with a fresh secret as the answer spells it; None where the answer shows none."""

    endpoint: Endpoint
    secret: str | None = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True, slots=True)
class Delivery:
    """An event that was to be delivered; `event_id` is that of its envelope."""

    id: str
    event_id: str | None


@dataclasses.dataclass(frozen=True, slots=True)
class TestResult:
    """The upstream's report on a test event; `status` is our answer to it, None where the upstream got none."""

    delivered: bool
    status: int | None
    error: str | None


class Webhooks:
    """The routes for webhook endpoints. Each method raises as those of the client do."""

    def __init__(self, connection: exchange.Connection, clock: Callable[[], datetime.datetime]) -> None:
        self._wire = connection
        self._clock = clock

    async def create(self, url: str, filters: Sequence[str], description: str) -> EndpointWithSecret:
        """Have events sent to `url` from now on. Not idempotent upstream."""
        request = {"url": url, "eventTypeFilters": list(filters), "description": description}
        body = await self._wire.call(routes.CREATE_ENDPOINT, body=request)
        return _with_secret(body, routes.CREATE_ENDPOINT, self._clock())

    async def list(self) -> tuple[Endpoint, ...]:
        """Return the organisation's endpoints, newest first, 100 at most."""
        body = await self._wire.call(routes.LIST_ENDPOINTS, query={"limit": str(PAGE)})
        shown = _each(body, routes.LIST_ENDPOINTS, "endpoints", self._clock())
        return tuple(found for each in shown for found in _endpoint(each))

    async def get(self, endpoint_id: str) -> Endpoint | None:
        """Return one endpoint; None where none has that id."""
        try:
            body = await self._wire.call(routes.ENDPOINT, endpoint_id)
        except errors.UpstreamStatusError as failure:
            if failure.status == 404:
                return None
            raise
        return _shown(body, routes.ENDPOINT, self._clock())

    async def update(
        self,
        endpoint_id: str,
        *,
        url: str | None = None,
        filters: Sequence[str] | None = None,
        status: str | None = None,
    ) -> Endpoint:
        fields = {"url": url, "eventTypeFilters": None if filters is None else list(filters), "status": status}
        changes = {name: value for name, value in fields.items() if value is not None}
        body = await self._wire.call(routes.CHANGE_ENDPOINT, endpoint_id, body=changes)
        return _shown(body, routes.CHANGE_ENDPOINT, self._clock())

    async def delete(self, endpoint_id: str) -> None:
        """Delete the endpoint; a missing one is no error."""
        try:
            await self._wire.call(routes.DELETE_ENDPOINT, endpoint_id)
        except errors.UpstreamStatusError as failure:
            if failure.status != 404:
                raise

    async def rotate(self, endpoint_id: str, grace: int) -> EndpointWithSecret:
        """Request a new secret; for `grace` seconds more the former one signs too. Not idempotent upstream."""
        request = {"previousSecretExpiresInSec": grace}
        body = await self._wire.call(routes.ROTATE_SECRET, endpoint_id, body=request)
        return _with_secret(body, routes.ROTATE_SECRET, self._clock())

    async def test(self, endpoint_id: str) -> TestResult:
        """Have a test event sent and return how that went."""
        body = await self._wire.call(routes.TEST_ENDPOINT, endpoint_id, body={"eventType": TEST})
        fields = _inner(body, routes.TEST_ENDPOINT, self._clock())
        status = _first(fields.count, "responseStatus", "response_status", "statusCode", "status")
        delivered = any(fields.flag(name) for name in ("delivered", "success", "ok"))
        return TestResult(delivered or status in range(200, 300), status, _first(fields.text, "error", "message"))

    async def failed(self, endpoint_id: str) -> tuple[Delivery, ...]:
        """Return the newest deliveries that the upstream gave up, 100 at most, newest first."""
        query = {"endpoint_id": endpoint_id, "status": "failed", "limit": str(PAGE)}
        body = await self._wire.call(routes.DELIVERIES, query=query)
        shown = _each(body, routes.DELIVERIES, "deliveries", self._clock())
        return tuple(found for each in shown for found in _delivery(each))

    async def replay(self, delivery_id: str) -> None:
        """Have an event sent again. Raises UpstreamStatusError with 409 where the endpoint is not active."""
        await self._wire.call(routes.REPLAY, delivery_id)


def state(shown: Endpoint | None) -> tuple[str, int | None]:
    """Return the endpoint's status in the upstream's words (or `gone`), and its failed deliveries in a row."""
    if shown is None:
        return webhook_endpoints.GONE, None
    return shown.status or webhook_endpoints.ACTIVE, shown.failures


def _with_secret(body: bytes, route: str, now: datetime.datetime) -> EndpointWithSecret:
    try:
        envelope = sanitize.read(body, route, now)
        fields = _unwrapped(envelope)
        spellings = ("signingSecret", "signing_secret", "secret")
        secret = _first(envelope.text, *spellings) or _first(fields.text, *spellings)
        for endpoint in _endpoint(fields):
            return EndpointWithSecret(endpoint, secret or None)
    except errors.InvalidResponse as failure:
        # This error has no bytes of the answer, which may contain a secret.
        raise errors.InvalidResponse(route, failure.message) from None
    raise errors.InvalidResponse(route, "the answer has no usable id")


def _shown(body: bytes, route: str, now: datetime.datetime) -> Endpoint:
    for endpoint in _endpoint(_inner(body, route, now)):
        return endpoint
    raise errors.InvalidResponse(route, "the answer has no usable id", body)


def _endpoint(fields: sanitize.Fields) -> Iterator[Endpoint]:
    endpoint_id = _first(fields.safe_id, "id", "endpointId", "endpoint_id")
    if endpoint_id is None:
        return
    yield Endpoint(
        id=endpoint_id,
        url=fields.text("url"),
        status=fields.text("status"),
        filters=fields.texts("eventTypeFilters") or fields.texts("event_type_filters"),
        failures=_first(
            fields.count, "consecutiveFailures", "consecutive_failures", "failureCount", "failure_count"
        ),
        rotated_at=_first(fields.instant, "secretRotatedAt", "secret_rotated_at"),
        previous_ends_at=_first(fields.instant, "previousSecretExpiresAt", "previous_secret_expires_at"),
        delivered_at=_first(fields.instant, "lastDeliveryAt", "last_delivery_at"),
    )


def _delivery(fields: sanitize.Fields) -> Iterator[Delivery]:
    delivery_id = _first(fields.safe_id, "id", "deliveryId", "delivery_id")
    if delivery_id is not None:
        yield Delivery(delivery_id, _first(fields.text, "eventId", "event_id"))


def _each(body: bytes, route: str, name: str, now: datetime.datetime) -> Iterator[sanitize.Fields]:
    fields = sanitize.read(body, route, now)
    listed = next((each for each in (name, "data", "items") if fields.has_list(each)), None)
    if listed is None:
        raise errors.InvalidResponse(route, f"the answer has no list of {name}", body)
    yield from fields.each(listed)


def _inner(body: bytes, route: str, now: datetime.datetime) -> sanitize.Fields:
    return _unwrapped(sanitize.read(body, route, now))


def _unwrapped(fields: sanitize.Fields) -> sanitize.Fields:
    """Return the object itself where the answer is an envelope around it."""
    wrapped = next((name for name in ("endpoint", "data") if fields.has(name)), None)
    return fields if wrapped is None else fields.within(wrapped)


def _first(read: Callable[[str], _Value | None], *names: str) -> _Value | None:
    """Return the value under the first of these spellings that has one."""
    return next((value for name in names if (value := read(name)) is not None), None)
