"""The public endpoints: raw bytes in, a committed delivery, then 2xx.

A bare ASGI application, since this is the door that strangers push at. `POST /callbacks/{token}` takes watcher
callbacks: unsigned, so the address itself is the proof and the body a hint; a GET tells whether an address is one
of ours, and changes nothing. `POST /webhooks/case` takes signed platform events: there any 4xx loses the event for
good, so trouble of ours is 503.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from starlette.types import Receive, Scope, Send

from receiver import addresses, backoff, errors, hints, keyring, rejections, signatures, telemetry, tokens
from storage import database, deliveries, ids, merkle, states, transitions
from storage import errors as storage_errors

CALLBACKS = "/callbacks/"
EVENTS = "/webhooks/case"
#: Headers that are never kept.
UNKEPT = frozenset({"authorization", "proxy-authorization", "cookie", "set-cookie"})
#: Bytes of headers that are kept of one request, and of a rejected body that cannot be checked again.
HEADER_BYTES = 16384
REJECTED_BYTES = 4096
#: Characters of an event's id that are kept in its own column and in the ledger.
ID_LENGTH = 200
#: Seconds after which a sender may try again what we could not commit, and what only an operator can mend.
RETRY_AFTER = 2
RETRY_LATER = 60
#: Bytes of a body up to which it is parsed on the loop.
PARSED_AT_ONCE = 65536

R = TypeVar("R")


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
    trusted_proxies: Sequence[addresses.Network] = ()


class Refusal(Exception):
    """An answer other than 2xx, on its way out. `cause` is what rejections are counted by, None for our own."""

    def __init__(self, status: int, title: str, cause: str | None = None, retry_after: int | None = None) -> None:
        super().__init__(title)
        self.status = status
        self.title = title
        self.cause = cause
        self.retry_after = retry_after


class Gone(Exception):
    """The sender left before its body was whole: there is nobody to answer."""


def is_public(path: str) -> bool:
    """Whether a path is for this application."""
    return path == EVENTS or path.startswith(CALLBACKS)


class Callbacks:
    """The ASGI application."""

    def __init__(self, public: Public) -> None:
        self._public = public

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = addresses.below(scope)
        arrival = _Arrival(self._public, scope, receive)
        if scope["method"] == "GET" and self._is_ours(path):
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body"})
            return
        try:
            if scope["method"] != "POST":
                raise Refusal(405, "Only POST is taken here")
            delivery = await (self._event(arrival) if path == EVENTS else self._callback(arrival, path))
            receipt = await self._public.database.write(transitions.accept_delivery, delivery)
        except Refusal as refusal:
            self._refused(arrival, states.Road.PLATFORM if path == EVENTS else states.Road.WATCHER, refusal)
            await _refuse(send, refusal)
        except storage_errors.Unavailable as trouble:
            self._public.telemetry.log.error("delivery_not_committed", reason=str(trouble))
            await _refuse(send, Refusal(503, "Not committed; send it again", retry_after=RETRY_AFTER))
        except Gone:
            return
        else:
            self._public.telemetry.received(receipt, delivery)
            await _answer(send, 200, {"receipt": receipt.id, "verdict": receipt.verdict.value})

    def _is_ours(self, path: str) -> bool:
        """Whether it is a callback address that we made, as who has moved a server wants to know."""
        try:
            self._public.signer.run_id(path.removeprefix(CALLBACKS))
        except errors.BadToken:
            return False
        return True

    async def _callback(self, arrival: _Arrival, path: str) -> deliveries.Delivery:
        """A watcher's callback. Its address is checked first: a stranger costs no more than that."""
        try:
            run_id = self._public.signer.run_id(path.removeprefix(CALLBACKS))
        except errors.BadToken:
            raise Refusal(404, "No such callback address", cause="unknown token") from None
        claimed = await _parsed(hints.callback, await arrival.read())
        named = claimed.run_ids
        return arrival.delivery(
            states.Road.WATCHER,
            f"run:{run_id}",
            run_id=run_id,
            upstream_id=named[0] if named else None,
            also_named=named[1:],
            status=claimed.status,
        )

    async def _event(self, arrival: _Arrival) -> deliveries.Delivery:
        """A signed event. What only we can mend is 503, so that it is sent again."""
        body = await arrival.read()
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

    async def _verified(self, arrival: _Arrival) -> tuple[str, bool]:
        """The name of the secret that signed, and whether the time that was signed is too far from ours.

        A secret may be newer than what this process knows, so a mismatch is believed after a look only.
        """
        try:
            return self._matched(arrival)
        except errors.BadSignature:
            await self._public.keyring.refresh(arrival.at)
        try:
            return self._matched(arrival)
        except errors.BadSignature:
            raise self._unmatched(arrival.at) from None

    def _matched(self, arrival: _Arrival) -> tuple[str, bool]:
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

    def _unmatched(self, now: datetime) -> Refusal:
        """A forgery is turned away for good; what may be genuine is to come again: it would be lost."""
        held = self._public.keyring
        if held.is_waiting(now):
            return Refusal(503, "A signing secret is on its way here", "unknown secret", RETRY_AFTER)
        if held.lacks_any(now):
            return Refusal(503, "A signing secret cannot be used here", "unknown secret", RETRY_LATER)
        if not held.live(now):
            self._public.telemetry.log.error("no_webhook_secret", hint="run `runledger webhooks register`")
            return Refusal(503, "No signing secret is set here yet", "unknown secret", RETRY_LATER)
        return Refusal(401, "The signature does not verify", "bad signature")

    async def _demand_known(self, key: str) -> None:
        """A late event passes only as a repeat of one that we have; any other is to come again."""
        if not await self._public.database.read(deliveries.holders, [key]):
            self._public.telemetry.log.error("event_outside_tolerance", hint="check this machine's clock")
            raise Refusal(503, "Signed, but its time is too far from ours", "outside tolerance", RETRY_LATER)

    def _refused(self, arrival: _Arrival, road: states.Road, refusal: Refusal) -> None:
        """Into the ring, whole where it can be checked again once a secret is added."""
        if refusal.cause is None:
            return
        self._public.telemetry.rejected(road, refusal.cause)
        whole = refusal.cause in ("bad signature", "unknown secret", "outside tolerance")
        self._public.ring.add(
            arrival.rejected(road, refusal.cause, len(arrival.body) if whole else REJECTED_BYTES)
        )


class _Arrival:
    """A request on its way in: its headers, and its body once it was read."""

    def __init__(self, public: Public, scope: Scope, receive: Receive) -> None:
        self._public = public
        self._receive = receive
        self.at = public.clock()
        self.headers = _headers(scope["headers"])
        peer = scope.get("client")
        forwarded = self.headers.get("x-forwarded-for")
        self.remote_addr = addresses.client_address(peer[0] if peer else None, forwarded, public.trusted_proxies)
        self.body = b""

    async def read(self) -> bytes:
        """The body, bounded in bytes and in time. Raises Refusal, or Gone where the sender has left."""
        declared = self.headers.get("content-length", "")
        if declared.isascii() and declared.isdigit() and int(declared[:20]) > self._public.body_limit:
            raise self._too_large()
        try:
            async with asyncio.timeout(self._public.timing.slow_body):
                return await self._read()
        except TimeoutError:
            raise Refusal(408, "The body came too slowly", cause="slow body") from None

    async def _read(self) -> bytes:
        chunks: list[bytes] = []
        size = 0
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise Gone
            chunks.append(message.get("body", b""))
            size += len(chunks[-1])
            if size > self._public.body_limit:
                self.body = b"".join(chunks)[:REJECTED_BYTES]
                raise self._too_large()
            if not message.get("more_body", False):
                self.body = b"".join(chunks)
                return self.body

    def _too_large(self) -> Refusal:
        return Refusal(413, f"A body may have {self._public.body_limit} bytes at most", cause="too large")

    def delivery(self, road: states.Road, key: str, **known: Any) -> deliveries.Delivery:
        """The delivery that this request is, with its digests."""
        digests = (*merkle.seal("headers", merkle.canonical(self.headers)), *merkle.seal("body", self.body))
        return deliveries.Delivery(
            ids.new(self.at),
            road,
            key,
            self.at,
            self.headers,
            self.body,
            hashlib.sha256(self.body).hexdigest(),
            remote_addr=self.remote_addr,
            digests=digests,
            **known,
        )

    def rejected(self, road: states.Road, cause: str, kept: int) -> deliveries.Rejected:
        """What is kept of a request that did not verify."""
        whole = hashlib.sha256(self.body).hexdigest()
        body, size = self.body[:kept], len(self.body)
        return deliveries.Rejected(
            ids.new(self.at), road, self.at, self.headers, body, whole, size, cause, self.remote_addr
        )


async def _parsed(read: Callable[[bytes], R], body: bytes) -> R:
    """What a body claims. A large one is read in a thread, so that nobody else waits for it."""
    return read(body) if len(body) <= PARSED_AT_ONCE else await asyncio.to_thread(read, body)


def _headers(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Header lines as text, several of one name joined, secrets of the sender left out, bounded as a whole."""
    found: dict[str, str] = {}
    room = HEADER_BYTES
    for name, value in raw:
        room -= len(name) + len(value)
        key = name.decode("latin-1").lower()
        if key in UNKEPT or room < 0:
            continue
        text = value.decode("latin-1")
        found[key] = f"{found[key]}, {text}" if key in found else text
    return found


def _event_key(event: hints.Event, headers: Mapping[str, str]) -> str:
    """The envelope's id, whatever the delivery's; only an envelope without one is known by its delivery."""
    return deliveries.event_key(event.id) if event.id else f"delivery:{headers.get(signatures.ID_HEADER, '')}"


def _short(event_id: str | None) -> str | None:
    return None if event_id is None else event_id[:ID_LENGTH]


async def _refuse(send: Send, refusal: Refusal) -> None:
    # A body that was not read must not keep the connection.
    extra = [(b"connection", b"close")] if refusal.status in (404, 405, 408, 413) else []
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
