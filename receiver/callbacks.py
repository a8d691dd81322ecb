"""The public endpoints: raw bytes in, a committed delivery, then 2xx.

A bare ASGI application, since this is the door that strangers push at. `POST /callbacks/{token}` takes watcher
callbacks: unsigned, so the address itself is the proof and the body a hint; a GET tells whether an address is one
of ours, and changes nothing. `POST /webhooks/case` takes signed platform events: there any 4xx loses the event for
good, so trouble of ours is 503.
"""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

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
#: Seconds after which a sender may try again what did not verify once too often (our secrets are looked at
#: meanwhile), and what only an operator can mend.
RETRY_SLOWLY = 10
RETRY_LATER = 60
#: Bytes of a body up to which it is parsed on the loop.
PARSED_AT_ONCE = 65536

R = TypeVar("R")
Read = Callable[[], Awaitable[bytes]]


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


def is_public(path: str) -> bool:
    """Whether a path is for this application."""
    return path == EVENTS or path.startswith(CALLBACKS)


class Callbacks:
    """The ASGI application."""

    def __init__(self, public: Public) -> None:
        self._public = public

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = addresses.below(scope)
        arrival = arrivals.Arrival(scope, receive, self._public.clock(), self._public.admission.trusted)
        if scope["method"] == "GET" and self._is_ours(path):
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
        except storage_errors.Unavailable as trouble:
            await self._refuse(arrival, path, self._uncommitted(trouble), send)
        except arrivals.Gone:
            return
        else:
            self._public.telemetry.received(receipt, delivery)
            await _answer(send, 200, {"receipt": receipt.id, "verdict": receipt.verdict.value})

    async def _delivery(self, arrival: arrivals.Arrival, path: str, place: admission.Place) -> deliveries.Delivery:
        """What came, verified. Raises Refusal, Gone, Unavailable."""
        read = functools.partial(arrival.read, self._public.body_limit, self._public.timing.slow_body, place)
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
        claimed = await _parsed(hints.callback, await read())
        named = claimed.run_ids
        return arrival.delivery(
            states.Road.WATCHER,
            f"run:{run_id}",
            run_id=run_id,
            upstream_id=named[0] if named else None,
            also_named=named[1:],
            status=claimed.status,
        )

    async def _event(self, arrival: arrivals.Arrival, read: Read) -> deliveries.Delivery:
        """A signed event. What only we can mend is 503, so that it is sent again."""
        if signatures.SIGNATURE_HEADER not in arrival.headers and self._public.admission.is_spent(
            arrival.remote_addr
        ):
            raise self._charged(arrival, _forgery())
        body = await read()
        secret, is_late = await self._verified(arrival)  # before anything of a stranger's is parsed
        event = await _parsed(hints.event, body)
        key = _event_key(event, arrival.headers)
        if is_late:
            await self._demand_known(key)
        return arrival.delivery(
            states.Road.PLATFORM,
            key,
            upstream_id=event.run_id,
            status=event.status,
            event_id=_short(event.id),
            event_type=event.type,
            secret_used=secret,
            reason=None if event.id else "the envelope has no usable id",
        )

    async def _verified(self, arrival: arrivals.Arrival) -> tuple[str, bool]:
        """The name of the secret that signed, and whether the time that was signed is too far from ours.

        A secret may be newer than what this process knows, so a mismatch is believed after a look only. From where
        too many did not verify it is neither looked nor believed: whatever it is may come again.
        """
        try:
            return self._matched(arrival)
        except errors.BadSignature:
            if self._public.admission.is_spent(arrival.remote_addr):
                raise self._charged(arrival, _forgery()) from None
            await self._public.keyring.refresh(arrival.at)
        try:
            return self._matched(arrival)
        except errors.BadSignature:
            raise self._charged(arrival, self._unmatched(arrival.at)) from None

    def _charged(self, arrival: arrivals.Arrival, refusal: arrivals.Refusal) -> arrivals.Refusal:
        """What a failure to verify is answered, at the expense of where it came from.

        Where that has nothing left it is 429: cheaper for us, and a sender tries again what is genuine after all.
        """
        if self._public.admission.charge(arrival.remote_addr):
            return refusal
        title = "Too many requests from here did not verify"
        return arrivals.Refusal(429, title, refusal.cause, RETRY_SLOWLY, kept=False)

    def _matched(self, arrival: arrivals.Arrival) -> tuple[str, bool]:
        try:
            verified = signatures.verify(
                arrival.body,
                arrival.headers.get(signatures.ID_HEADER),
                arrival.headers.get(signatures.TIMESTAMP_HEADER),
                arrival.headers.get(signatures.SIGNATURE_HEADER),
                self._public.keyring.live(arrival.at),
                arrival.at.timestamp(),
            )
        except errors.OutsideTolerance as late:
            return late.secret, True
        return verified.secret, False

    def _unmatched(self, now: datetime) -> arrivals.Refusal:
        """A forgery is turned away for good; what may be genuine is to come again: it would be lost."""
        held = self._public.keyring
        if held.is_waiting(now):
            return arrivals.Refusal(
                503, "A signing secret is on its way here", "unknown secret", arrivals.RETRY_AFTER
            )
        if held.lacks_any(now):
            return arrivals.Refusal(503, "A signing secret cannot be used here", "unknown secret", RETRY_LATER)
        if not held.live(now):
            self._public.telemetry.log.error("no_webhook_secret", hint="run `runledger webhooks register`")
            return arrivals.Refusal(503, "No signing secret is set here yet", "unknown secret", RETRY_LATER)
        return _forgery()

    async def _demand_known(self, key: str) -> None:
        """A late event passes only as a repeat of one that we have; any other is to come again."""
        if not await self._public.database.read(deliveries.holders, [key]):
            self._public.telemetry.log.error("event_outside_tolerance", hint="check this machine's clock")
            raise arrivals.Refusal(
                503, "Signed, but its time is too far from ours", "outside tolerance", RETRY_LATER
            )

    def _uncommitted(self, trouble: storage_errors.Unavailable) -> arrivals.Refusal:
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


def _event_key(event: hints.Event, headers: Mapping[str, str]) -> str:
    """The envelope's id, whatever the delivery's; only an envelope without one is known by its delivery."""
    delivery_id = headers.get(signatures.ID_HEADER, "")
    return deliveries.event_key(event.id) if event.id else deliveries.nameless_key(delivery_id)


def _short(event_id: str | None) -> str | None:
    return None if event_id is None else event_id[:ID_LENGTH]


async def _refuse(send: Send, refusal: arrivals.Refusal, *, close: bool) -> None:
    # A body that was not read must not keep the connection.
    extra = [(b"connection", b"close")] if close else []
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
