"""The upstream's webhook endpoints: where its platform events go, and what became of their deliveries.

The form of the answers is not documented, so that a field is looked for under each spelling it may have, and
only an id is demanded. An answer that shows a signing secret never becomes part of an error.
"""

from __future__ import annotations

import dataclasses
import datetime
import fnmatch
from collections.abc import Callable, Iterator, Sequence

from receiver import errors, hints
from receiver.upstream import cleaning, routes, wire
from storage import webhooks as stored

#: What we want to hear of, and the type of a test.
EVENTS = "agent.run.*"
TEST = "webhook.test"
#: Endpoints or deliveries of one list call at most.
PAGE = 100


@dataclasses.dataclass(frozen=True, slots=True)
class Endpoint:
    """An endpoint as the upstream shows it; whatever it does not show is None, `filters` empty."""

    id: str
    url: str | None = None
    status: str | None = None
    filters: tuple[str, ...] = ()
    failures: int | None = None
    rotated_at: datetime.datetime | None = None
    previous_ends_at: datetime.datetime | None = None
    delivered_at: datetime.datetime | None = None

    def hears(self, kind: str) -> bool:
        """Whether it is sent events of such a type, as far as is known."""
        return not self.filters or any(fnmatch.fnmatchcase(kind, pattern) for pattern in self.filters)


@dataclasses.dataclass(frozen=True, slots=True)
class Made:
    """An endpoint with a fresh secret as it is spelled; None where the answer shows none."""

    endpoint: Endpoint
    secret: str | None = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True, slots=True)
class Delivery:
    """An event that was to be delivered; `event_id` is that of its envelope."""

    id: str
    event_id: str | None


@dataclasses.dataclass(frozen=True, slots=True)
class Tested:
    """What the upstream says of its test; `status` is what we answered, None where it had no answer."""

    delivered: bool
    status: int | None
    error: str | None


class Webhooks:
    """The routes, over a wire. Each method raises as those of the client do."""

    def __init__(self, line: wire.Wire, clock: Callable[[], datetime.datetime]) -> None:
        self._wire = line
        self._clock = clock

    async def create(self, url: str, filters: Sequence[str], description: str) -> Made:
        """Has events sent to `url` from now on. Not idempotent upstream."""
        wanted = {"url": url, "eventTypeFilters": list(filters), "description": description}
        body = await self._wire.call(routes.CREATE_ENDPOINT, body=wanted)
        return _made(body, routes.CREATE_ENDPOINT, self._clock())

    async def list(self) -> tuple[Endpoint, ...]:
        """The organisation's endpoints, newest first, 100 at most."""
        body = await self._wire.call(routes.LIST_ENDPOINTS, query={"limit": str(PAGE)})
        shown = _each(body, routes.LIST_ENDPOINTS, "endpoints", self._clock())
        return tuple(found for each in shown for found in _endpoint(each))

    async def get(self, endpoint_id: str) -> Endpoint | None:
        """One endpoint; None where there is none of that id."""
        try:
            body = await self._wire.call(routes.ENDPOINT, endpoint_id)
        except errors.Answered as no:
            if no.status == 404:
                return None
            raise
        return _shown(body, routes.ENDPOINT, self._clock())

    async def change(
        self,
        endpoint_id: str,
        *,
        url: str | None = None,
        filters: Sequence[str] | None = None,
        status: str | None = None,
    ) -> Endpoint:
        """Changes what is given."""
        wishes = {"url": url, "eventTypeFilters": None if filters is None else list(filters), "status": status}
        wanted = {name: value for name, value in wishes.items() if value is not None}
        body = await self._wire.call(routes.CHANGE_ENDPOINT, endpoint_id, body=wanted)
        return _shown(body, routes.CHANGE_ENDPOINT, self._clock())

    async def delete(self, endpoint_id: str) -> None:
        """Has nothing sent any more; one that is not there is as good."""
        try:
            await self._wire.call(routes.DELETE_ENDPOINT, endpoint_id)
        except errors.Answered as no:
            if no.status != 404:
                raise

    async def rotate(self, endpoint_id: str, grace: int) -> Made:
        """A new secret; for `grace` seconds more the one before signs too. Not idempotent upstream."""
        wanted = {"previousSecretExpiresInSec": grace}
        body = await self._wire.call(routes.ROTATE_SECRET, endpoint_id, body=wanted)
        return _made(body, routes.ROTATE_SECRET, self._clock())

    async def test(self, endpoint_id: str) -> Tested:
        """Has a test event sent, and tells how that went."""
        body = await self._wire.call(routes.TEST_ENDPOINT, endpoint_id, body={"eventType": TEST})
        fields = _inner(body, routes.TEST_ENDPOINT, self._clock())
        status = _count(fields, "responseStatus", "response_status", "statusCode", "status")
        delivered = any(fields.flag(name) for name in ("delivered", "success", "ok"))
        return Tested(delivered or status in range(200, 300), status, _text(fields, "error", "message"))

    async def failed(self, endpoint_id: str) -> tuple[Delivery, ...]:
        """The newest deliveries that the upstream gave up, 100 at most, newest first."""
        query = {"endpoint_id": endpoint_id, "status": "failed", "limit": str(PAGE)}
        body = await self._wire.call(routes.DELIVERIES, query=query)
        shown = _each(body, routes.DELIVERIES, "deliveries", self._clock())
        return tuple(found for each in shown for found in _delivery(each))

    async def replay(self, delivery_id: str) -> None:
        """Has an event sent again. Answered with 409 where the endpoint is not active."""
        await self._wire.call(routes.REPLAY, delivery_id)


def state(shown: Endpoint | None) -> tuple[str, int | None]:
    """How an endpoint stands, in the upstream's words but for `gone`, and how many deliveries failed in a row."""
    return (stored.GONE, None) if shown is None else (shown.status or stored.ACTIVE, shown.failures)


def _made(body: bytes, route: str, now: datetime.datetime) -> Made:
    try:
        whole = _fields(body, route, now)
        fields = _unwrapped(whole)
        spelled = ("signingSecret", "signing_secret", "secret")
        secret = _text(whole, *spelled) or _text(fields, *spelled)
        for endpoint in _endpoint(fields):
            return Made(endpoint, secret or None)
    except errors.Unreadable as junk:
        raise errors.Unreadable(route, junk.message) from None  # without the bytes: a secret may stand in them
    raise errors.Unreadable(route, "the answer has no usable id")


def _shown(body: bytes, route: str, now: datetime.datetime) -> Endpoint:
    for endpoint in _endpoint(_inner(body, route, now)):
        return endpoint
    raise errors.Unreadable(route, "the answer has no usable id", body)


def _endpoint(fields: cleaning.Fields) -> Iterator[Endpoint]:
    endpoint_id = _text(fields, "id", "endpointId", "endpoint_id")
    if endpoint_id is None or hints.SAFE_ID.fullmatch(endpoint_id) is None:
        return
    yield Endpoint(
        id=endpoint_id,
        url=fields.text("url"),
        status=fields.text("status"),
        filters=fields.texts("eventTypeFilters") or fields.texts("event_type_filters"),
        failures=_count(fields, "consecutiveFailures", "consecutive_failures", "failureCount", "failure_count"),
        rotated_at=_instant(fields, "secretRotatedAt", "secret_rotated_at"),
        previous_ends_at=_instant(fields, "previousSecretExpiresAt", "previous_secret_expires_at"),
        delivered_at=_instant(fields, "lastDeliveryAt", "last_delivery_at"),
    )


def _delivery(fields: cleaning.Fields) -> Iterator[Delivery]:
    delivery_id = _text(fields, "id", "deliveryId", "delivery_id")
    if delivery_id is not None and hints.SAFE_ID.fullmatch(delivery_id):
        yield Delivery(delivery_id, _text(fields, "eventId", "event_id"))


def _each(body: bytes, route: str, name: str, now: datetime.datetime) -> Iterator[cleaning.Fields]:
    fields = _fields(body, route, now)
    listed = next((each for each in (name, "data", "items") if fields.has_list(each)), None)
    if listed is None:
        raise errors.Unreadable(route, f"the answer has no list of {name}", body)
    yield from fields.each(listed)


def _inner(body: bytes, route: str, now: datetime.datetime) -> cleaning.Fields:
    return _unwrapped(_fields(body, route, now))


def _fields(body: bytes, route: str, now: datetime.datetime) -> cleaning.Fields:
    return cleaning.Fields(cleaning.document(route, body), cleaning.Notes(), now)


def _unwrapped(fields: cleaning.Fields) -> cleaning.Fields:
    """The object itself where the answer is an envelope around it."""
    wrapped = next((name for name in ("endpoint", "data") if fields.has(name)), None)
    return fields if wrapped is None else fields.within(wrapped)


def _text(fields: cleaning.Fields, *names: str) -> str | None:
    return next((value for name in names if (value := fields.text(name)) is not None), None)


def _count(fields: cleaning.Fields, *names: str) -> int | None:
    return next((value for name in names if (value := fields.count(name)) is not None), None)


def _instant(fields: cleaning.Fields, *names: str) -> datetime.datetime | None:
    return next((value for name in names if (value := fields.instant(name)) is not None), None)
