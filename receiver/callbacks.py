"""The public endpoints: raw bytes in, a committed delivery, then 2xx.

A bare ASGI application, since this is the door that strangers push at. `POST /callbacks/{token}` takes watcher
callbacks: unsigned, so the address itself is the proof and the body a hint; a GET tells whether an address is one
of ours, and changes nothing. `POST /webhooks/case` takes signed platform events: there any 4xx loses the event for
good, so trouble of ours is 503.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar
from urllib.parse import unquote

from starlette.types import Receive, Scope, Send

from receiver import (
    addresses,
    admission,
    arrivals,
    backoff,
    errors,
    hints,
    keyring,
    rejections,
    signatures,
    telemetry,
    tokens,
)
from storage import database, deliveries, states, transitions
from storage import errors as storage_errors

CALLBACKS = "/callbacks/"
EVENTS = "/webhooks/case"
#: Characters of an event's id that are kept in its own column and in the ledger.
ID_LENGTH = 200
#: Seconds after which a sender may try again what did not verify once too often.
RETRY_SLOWLY = 10
#: Bytes of a body up to which it is parsed on the loop.
PARSED_AT_ONCE = 65536

#: A body that was not read must not keep the connection.
_CLOSE = ((b"connection", b"close"),)

R = TypeVar("R")
Read = Callable[[arrivals.Beyond], Awaitable[bytes]]


@dataclass(frozen=True)
class Public:
    """What the endpoints work with."""

    database: database.Database
    signer: tokens.Signer
    keyring: keyring.Keyring
    ring: rejections.Ring
    telemetry: telemetry.Telemetry
    timing: backoff.Timing
    clock: Callable[[], datetime]
    body_limit: int
    admission: admission.Admission


def _forgery() -> arrivals.Refusal:
    return arrivals.Refusal(401, "The signature does not verify", "bad signature")


def _too_many(arrival: arrivals.Arrival, cause: str | None) -> arrivals.Refusal:
    """Return what is answered where too many requests of one origin did not verify: 429, which is cheap.

    What is signed may be genuine, with a secret that is not known to this process yet: that is 503.
    """
    status = 429 if arrival.claimed.signature is None else 503
    title = "Too many requests from here did not verify"
    return arrivals.Refusal(status, title, cause, RETRY_SLOWLY, kept=False)


def is_public(path: str) -> bool:
    """Whether a path is for this application."""
    plain = unmangled(path)
    return plain == EVENTS or plain.startswith(CALLBACKS)


def unmangled(path: str) -> str:
    """Return a path of ours as we spell it, however proxies do; any other one as it is.

    Slashes at its end or doubled, percent-encoding that was encoded once more, capital letters, a prefix that was
    not taken off: what comes there is genuine all the same.

    >>> [unmangled(path) for path in ("/webhooks/case/", "/ledger//Callbacks/01a2%2Eb", "/v1/runs/")]
    ['/webhooks/case', '/callbacks/01a2.b', '/v1/runs/']
    """
    parts = [part for part in unquote(path).strip().split("/") if part]
    names = [part.lower() for part in parts[-2:]]
    if names == ["webhooks", "case"]:
        return EVENTS
    return f"{CALLBACKS}{parts[-1]}" if len(names) == 2 and names[0] == "callbacks" else path


class Callbacks:
    """The ASGI application."""

    def __init__(self, public: Public) -> None:
        self._public = public

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = unmangled(addresses.below(scope))
        arrival = arrivals.Arrival(scope, receive, self._public.clock(), self._public.admission.trusted)
        if scope["method"] in ("GET", "HEAD") and self._is_ours(path):
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body"})
            return
        try:
            if scope["method"] != "POST":
                raise arrivals.Refusal(405, "Only POST is taken here")
            with self._public.admission.room.place() as place:
                delivery = await self._delivery(arrival, path, place)
            receipt = await self._public.database.write(transitions.accept_delivery, delivery)
        except arrivals.Refusal as refusal:
            await self._refuse(arrival, path, refusal, send)
        except (storage_errors.Unavailable, storage_errors.Unstorable) as trouble:
            await self._refuse(arrival, path, self._uncommitted(trouble), send)
        except arrivals.Gone:
            return
        else:
            self._public.telemetry.received(receipt, delivery)
            answer = {"receipt": receipt.id, "verdict": receipt.verdict.value}
            await _answer(send, 200, answer, extra=() if arrival.is_whole else _CLOSE)

    async def _delivery(self, arrival: arrivals.Arrival, path: str, place: admission.Place) -> deliveries.Delivery:
        """What came, verified. Raises Refusal, Gone, Unavailable."""
        bounds = arrivals.Bounds(self._public.body_limit, self._public.timing.slow_body)
        read = functools.partial(arrival.read, bounds, place)
        return await (self._event(arrival, read) if path == EVENTS else self._callback(arrival, path, read))

    def _is_ours(self, path: str) -> bool:
        """Whether it is a callback address that we made, as who has moved a server wants to know."""
        try:
            self._public.signer.run_id(path.removeprefix(CALLBACKS))
        except errors.BadToken:
            return False
        return True

    async def _callback(self, arrival: arrivals.Arrival, path: str, read: Read) -> deliveries.Delivery:
        """A watcher's callback. Its address is checked first: a stranger costs no more than that."""
        try:
            run_id = self._public.signer.run_id(path.removeprefix(CALLBACKS))
        except errors.BadToken:
            stranger = arrivals.Refusal(404, "No such callback address", cause="unknown token")
            raise self._charged(arrival, stranger) from None
        with contextlib.suppress(arrivals.BeyondReading):  # its beginning is enough for a hint
            await read(_read_by)
        claimed = await _parsed(hints.callback, arrival.body)
        named = claimed.run_ids
        return arrival.delivery(
            states.Road.WATCHER,
            f"run:{run_id}",
            run_id=run_id,
            upstream_id=named[0] if named else None,
            also_named=named[1:],
            status=claimed.status,
            reason=_cut_short(arrival),
        )

    async def _event(self, arrival: arrivals.Arrival, read: Read) -> deliveries.Delivery:
        """A signed event. What only we can mend is 503, so that it is sent again."""
        if arrival.claimed.signature is None and self._public.admission.is_spent(arrival.remote_addr):
            raise _too_many(arrival, _forgery().cause)
        checks: list[signatures.Check] = []
        body = await read(functools.partial(self._hashed, arrival, checks))
        # Before anything of an unknown sender is parsed.
        signed = self._checked(arrival, checks[0]) if checks else await self._verified(arrival)
        event = await _parsed(hints.event, body)
        key = _event_key(event, arrival, signed.delivery_id)
        if signed.is_late:
            await self._demand_known(key)
        return arrival.delivery(
            states.Road.PLATFORM,
            key,
            upstream_id=event.run_id,
            status=event.status,
            event_id=_short(event.id),
            event_type=event.type,
            secret_used=signed.secret,
            reason=_cut_short(arrival) or (None if event.id else "the envelope has no usable id"),
        )

    async def _hashed(self, arrival: arrivals.Arrival, checks: list[signatures.Check]) -> arrivals.Further:
        """A body that is larger than the limit is checked as it goes by: there is one try, after a look."""
        if arrival.claimed.signature is None:
            raise arrivals.too_large(self._public.body_limit)
        if self._public.admission.is_spent(arrival.remote_addr):
            raise _too_many(arrival, _forgery().cause)
        await self._public.keyring.refresh(arrival.at)
        checks.append(signatures.Check(arrival.claimed, self._public.keyring.live(arrival.at)))
        return checks[0].update

    def _checked(self, arrival: arrivals.Arrival, check: signatures.Check) -> _Signed:
        """As `_verified`, of a body that went by."""
        try:
            return _signed(arrival, check)
        except errors.BadSignature:
            unmatched = self._unmatched(arrival.at)
        is_forged = unmatched.status < 500
        refusal = arrivals.too_large(self._public.body_limit) if is_forged else unmatched
        raise self._charged(arrival, refusal)

    async def _verified(self, arrival: arrivals.Arrival) -> _Signed:
        """Return what the signature vouches for.

        A secret may be newer than what this process knows, so a mismatch is believed after a look only. From where
        too many did not verify it is neither looked nor believed: whatever it is may come again.
        """
        try:
            return self._matched(arrival)
        except errors.BadSignature:
            if self._public.admission.is_spent(arrival.remote_addr):
                raise _too_many(arrival, _forgery().cause) from None
            await self._public.keyring.refresh(arrival.at)
        try:
            return self._matched(arrival)
        except errors.BadSignature:
            raise self._charged(arrival, self._unmatched(arrival.at)) from None

    def _charged(self, arrival: arrivals.Arrival, refusal: arrivals.Refusal) -> arrivals.Refusal:
        """Return what a failure to verify is answered, at the expense of where it came from."""
        is_charged = self._public.admission.charge(arrival.remote_addr)
        return refusal if is_charged else _too_many(arrival, refusal.cause)

    def _matched(self, arrival: arrivals.Arrival) -> _Signed:
        check = signatures.Check(arrival.claimed, self._public.keyring.live(arrival.at))
        check.update(arrival.body)
        return _signed(arrival, check)

    def _unmatched(self, now: datetime) -> arrivals.Refusal:
        """A forgery is turned away for good; what may be genuine is to come again: it would be lost."""
        held = self._public.keyring
        if held.is_waiting(now):
            return arrivals.Refusal(
                503, "A signing secret is on its way here", "unknown secret", arrivals.RETRY_AFTER
            )
        if held.lacks_any(now):
            return arrivals.Refusal(
                503, "A signing secret cannot be used here", "unknown secret", arrivals.RETRY_LATER
            )
        if not held.live(now):
            self._public.telemetry.log.error("no_webhook_secret", hint="run `runledger webhooks register`")
            return arrivals.Refusal(
                503, "No signing secret is set here yet", "unknown secret", arrivals.RETRY_LATER
            )
        return _forgery()

    async def _demand_known(self, key: str) -> None:
        """A late event passes only as a repeat of one that we have; any other is to come again."""
        if not await self._public.database.read(deliveries.holders, [key]):
            hint = f"check this machine's clock, and what {signatures.TIMESTAMP_HEADER} of the event holds"
            self._public.telemetry.log.error("event_outside_tolerance", hint=hint)
            raise arrivals.Refusal(
                503, "Signed, but its time is too far from ours", "outside tolerance", arrivals.RETRY_LATER
            )

    def _uncommitted(self, trouble: storage_errors.StorageError) -> arrivals.Refusal:
        """A full queue is counted, not logged: how often it is met is up to those who send."""
        title = "Not committed; send it again"
        if isinstance(trouble, storage_errors.Busy):
            return arrivals.Refusal(503, title, "queue full", arrivals.RETRY_AFTER, kept=False)
        self._public.telemetry.log.error("delivery_not_committed", reason=str(trouble))
        return arrivals.Refusal(503, title, retry_after=arrivals.RETRY_AFTER)

    async def _refuse(self, arrival: arrivals.Arrival, path: str, refusal: arrivals.Refusal, send: Send) -> None:
        self._note(arrival, states.Road.PLATFORM if path == EVENTS else states.Road.WATCHER, refusal)
        await _refuse(send, refusal, close=not arrival.is_whole)

    def _note(self, arrival: arrivals.Arrival, road: states.Road, refusal: arrivals.Refusal) -> None:
        """Into the ring, whole where it can be checked again once a secret is added."""
        if refusal.cause is None:
            return
        self._public.telemetry.rejected(road, refusal.cause)
        if not refusal.kept:
            self._public.ring.count(refusal.cause)
            return
        whole = refusal.cause in ("bad signature", "unknown secret", "outside tolerance")
        self._public.ring.add(
            arrival.rejected(road, refusal.cause, len(arrival.body) if whole else arrivals.REJECTED_BYTES)
        )


async def _parsed(read: Callable[[bytes], R], body: bytes) -> R:
    """What a body claims. A large one is read in a thread, so that nobody else waits for it."""
    return read(body) if len(body) <= PARSED_AT_ONCE else await asyncio.to_thread(read, body)


@dataclass(frozen=True, slots=True)
class _Signed:
    """What a signature vouches for: `secret` is the name of the one that signed.

    `is_late` is true where the time that was signed is too far from ours.
    """

    secret: str
    delivery_id: str
    is_late: bool


def _signed(arrival: arrivals.Arrival, check: signatures.Check) -> _Signed:
    """Return what a check that has seen the whole body vouches for. Raises BadSignature."""
    try:
        verified = check.verified(arrival.at.timestamp())
    except errors.OutsideTolerance as late:
        return _Signed(late.secret, late.delivery_id, is_late=True)
    return _Signed(verified.secret, verified.delivery_id, is_late=False)


def _event_key(event: hints.Event, arrival: arrivals.Arrival, delivery_id: str) -> str:
    """Return the envelope's id, whatever the delivery's; only an envelope without one is known by its delivery.

    The id is the one that was signed: a proxy may have doubled its header on the way of one try alone. The end of
    a body that was cut short may hold another id than its beginning: that is known by its delivery too.
    """
    if event.id and not arrival.is_cut:
        return deliveries.event_key(event.id)
    return deliveries.nameless_key(delivery_id) if delivery_id else f"body:{arrival.sha256}"


def _cut_short(arrival: arrivals.Arrival) -> str | None:
    """Why not all of a body is kept."""
    return "the body is larger than the limit: its beginning is kept" if arrival.is_cut else None


async def _read_by() -> arrivals.Further:
    """A body that is larger than the limit goes by: that it came is what counts."""
    return lambda _: None


def _short(event_id: str | None) -> str | None:
    return None if event_id is None else event_id[:ID_LENGTH]


async def _refuse(send: Send, refusal: arrivals.Refusal, *, close: bool) -> None:
    extra = [*_CLOSE] if close else []
    if refusal.status == 405:
        extra.append((b"allow", b"POST"))
    if refusal.retry_after is not None:
        extra.append((b"retry-after", str(refusal.retry_after).encode()))
    body: dict[str, str | int] = {"type": "about:blank", "title": refusal.title, "status": refusal.status}
    await _answer(send, refusal.status, body, b"application/problem+json", extra)


async def _answer(
    send: Send,
    status: int,
    body: Mapping[str, str | int],
    content_type: bytes = b"application/json",
    extra: Sequence[tuple[bytes, bytes]] = (),
) -> None:
    raw = json.dumps(body, separators=(",", ":")).encode()
    headers = [(b"content-type", content_type), (b"content-length", str(len(raw)).encode()), *extra]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": raw})
