"""The public endpoints: they read the raw bytes, commit a delivery, then answer 2xx.

This is a bare ASGI application, since anybody can call it. `POST /callbacks/{token}` takes watcher callbacks. They
are unsigned, so the token in the address is the proof and the body only a hint; a GET shows whether an address is
one of ours and changes nothing. `POST /webhooks/case` takes signed platform events. Any 4xx there loses the event
for good, so faults on our side are answered 503.
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

from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from receiver import client_address, errors, telemetry, timeouts
from receiver.crypto import signatures, tokens
from receiver.inbound import payload_hints, rejection_buffer, requests, webhook_secrets
from receiver.web import request_limits
from storage import errors as storage_errors
from storage import states
from storage.engine import database
from storage.repositories import deliveries
from storage.transitions import receiving

CALLBACKS = "/callbacks/"
EVENTS = "/webhooks/case"
#: The characters of an event's id that are stored in its column and in the ledger.
ID_LENGTH = 200
#: Seconds after which a sender with too many failures may retry.
RETRY_AFTER_FAILURES = 10
#: The size of a body in bytes up to which it is parsed on the event loop.
PARSED_ON_LOOP = 65536

#: Sent where the body was not read to its end: the connection cannot be used again.
_CLOSE = ((b"connection", b"close"),)

R = TypeVar("R")
Read = Callable[[requests.OversizeHandler], Awaitable[bytes]]


@dataclass(frozen=True)
class Dependencies:
    """What the public endpoints work with."""

    database: database.Database
    signer: tokens.Signer
    secrets: webhook_secrets.WebhookSecrets
    rejections: rejection_buffer.RejectionBuffer
    telemetry: telemetry.Telemetry
    timing: timeouts.Timing
    clock: Callable[[], datetime]
    body_limit: int
    limits: request_limits.Limits


def _forgery() -> requests.Refusal:
    return requests.Refusal(401, "The signature does not verify", "bad signature")


def _too_many(request: requests.InboundRequest, cause: str | None) -> requests.Refusal:
    """Return the answer after too many failures of one origin: 429, which is cheap.

    A signed request may be genuine, with a secret that this process does not know yet, so it gets 503.
    """
    status = 429 if request.signature_headers.signature is None else 503
    title = "Too many requests from this address did not verify"
    return requests.Refusal(status, title, cause, RETRY_AFTER_FAILURES, kept=False)


def is_public(path: str) -> bool:
    """Return whether a path belongs to the public endpoints."""
    plain = canonical_path(path)
    return plain == EVENTS or plain.startswith(CALLBACKS)


def canonical_path(path: str) -> str:
    """Return a path of the public endpoints in its canonical spelling, and any other path unchanged.

    Proxies may add slashes, encode percent signs again, change the case of letters, or leave a prefix in place. A
    request that comes by such a path is still genuine.

    >>> [unmangled(path) for path in ("/webhooks/case/", "/ledger//Callbacks/01a2%2Eb", "/v1/runs/")]
    ['/webhooks/case', '/callbacks/01a2.b', '/v1/runs/']
    """
    parts = [part for part in unquote(path).strip().split("/") if part]
    names = [part.lower() for part in parts[-2:]]
    if names == ["webhooks", "case"]:
        return EVENTS
    return f"{CALLBACKS}{parts[-1]}" if len(names) == 2 and names[0] == "callbacks" else path


class PublicEndpoints:
    """The ASGI application of both public endpoints."""

    def __init__(self, public: Dependencies) -> None:
        self._public = public

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = canonical_path(client_address.path_below_mount(scope))
        request = requests.InboundRequest(
            scope, receive, self._public.clock(), self._public.limits.trusted_proxies
        )
        if scope["method"] in ("GET", "HEAD") and self._is_ours(path):
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body"})
            return
        try:
            if scope["method"] != "POST":
                raise requests.Refusal(405, "This path takes POST only")
            with self._public.limits.budget.lease() as lease:
                delivery = await self._delivery(request, path, lease)
            receipt = await self._public.database.write(receiving.accept_delivery, delivery)
        except requests.Refusal as refusal:
            await self._refuse(request, path, refusal, send)
        except (storage_errors.Unavailable, storage_errors.UnstorableValue) as trouble:
            await self._refuse(request, path, self._uncommitted(trouble), send)
        except ClientDisconnect:
            return
        else:
            self._public.telemetry.received(receipt, delivery)
            answer = {"receipt": receipt.id, "verdict": receipt.verdict.value}
            await _answer(send, 200, answer, extra=() if request.is_whole else _CLOSE)

    async def _delivery(
        self, request: requests.InboundRequest, path: str, lease: request_limits.BodyLease
    ) -> deliveries.Delivery:
        """Verify the request and return it as a delivery. Raises Refusal, ClientDisconnect, Unavailable."""
        bounds = requests.BodyBounds(self._public.body_limit, self._public.timing.slow_body)
        read = functools.partial(request.read, bounds, lease)
        return await (self._event(request, read) if path == EVENTS else self._callback(request, path, read))

    def _is_ours(self, path: str) -> bool:
        """Return whether the path is a callback address of ours. Operators check this after moving a server."""
        try:
            self._public.signer.run_id(path.removeprefix(CALLBACKS))
        except errors.BadToken:
            return False
        return True

    async def _callback(self, request: requests.InboundRequest, path: str, read: Read) -> deliveries.Delivery:
        """Verify a watcher's callback. The token is checked first, so that a forged address costs little."""
        try:
            run_id = self._public.signer.run_id(path.removeprefix(CALLBACKS))
        except errors.BadToken:
            unknown = requests.Refusal(404, "No such callback address", cause="unknown token")
            raise self._charged(request, unknown) from None
        with contextlib.suppress(requests.TooLargeToRead):  # the beginning is enough for a hint
            await read(_ignore_rest)
        claimed = await _parsed(payload_hints.callback, request.body)
        run_ids = claimed.run_ids
        return request.delivery(
            states.Source.WATCHER,
            f"run:{run_id}",
            run_id=run_id,
            upstream_id=run_ids[0] if run_ids else None,
            also_named=run_ids[1:],
            status=claimed.status,
            reason=_truncation(request),
        )

    async def _event(self, request: requests.InboundRequest, read: Read) -> deliveries.Delivery:
        """Verify a signed event. What only we can repair is answered 503, so that the event is sent again."""
        if request.signature_headers.signature is None and self._public.limits.is_exhausted(request.remote_addr):
            raise _too_many(request, _forgery().cause)
        checks: list[signatures.Check] = []
        body = await read(functools.partial(self._check_pieces, request, checks))
        # The signature is checked before anything of the body is parsed.
        signed = self._checked(request, checks[0]) if checks else await self._verified(request)
        event = await _parsed(payload_hints.event, body)
        key = _event_key(event, request, signed.delivery_id)
        if signed.is_late:
            await self._require_known(key)
        return request.delivery(
            states.Source.PLATFORM,
            key,
            upstream_id=event.run_id,
            status=event.status,
            event_id=_short(event.id),
            event_type=event.type,
            secret_used=signed.secret,
            reason=_truncation(request) or (None if event.id else "the envelope has no usable id"),
        )

    async def _check_pieces(
        self, request: requests.InboundRequest, checks: list[signatures.Check]
    ) -> requests.PieceReceiver:
        """Return what verifies a body over the limit by pieces. It is tried once, with refreshed secrets."""
        if request.signature_headers.signature is None:
            raise requests.too_large(self._public.body_limit)
        if self._public.limits.is_exhausted(request.remote_addr):
            raise _too_many(request, _forgery().cause)
        await self._public.secrets.refresh(request.at)
        checks.append(signatures.Check(request.signature_headers, self._public.secrets.usable(request.at)))
        return checks[0].update

    def _checked(self, request: requests.InboundRequest, check: signatures.Check) -> _Signed:
        """Return the same as `_verified`, for a body that was verified in pieces."""
        try:
            return _signed(request, check)
        except errors.BadSignature:
            unmatched = self._unmatched(request.at)
        is_forged = unmatched.status < 500
        refusal = requests.too_large(self._public.body_limit) if is_forged else unmatched
        raise self._charged(request, refusal)

    async def _verified(self, request: requests.InboundRequest) -> _Signed:
        """Return what the signature vouches for.

        A secret may be newer than what this process knows, so a mismatch is believed only after the secrets were
        refreshed. For an address with too many failures they are not refreshed and the mismatch is not believed:
        the sender may retry.
        """
        try:
            return self._matched(request)
        except errors.BadSignature:
            if self._public.limits.is_exhausted(request.remote_addr):
                raise _too_many(request, _forgery().cause) from None
            await self._public.secrets.refresh(request.at)
        try:
            return self._matched(request)
        except errors.BadSignature:
            raise self._charged(request, self._unmatched(request.at)) from None

    def _charged(self, request: requests.InboundRequest, refusal: requests.Refusal) -> requests.Refusal:
        """Charge the sender's address for a failure to verify, and return the answer."""
        is_charged = self._public.limits.charge(request.remote_addr)
        return refusal if is_charged else _too_many(request, refusal.cause)

    def _matched(self, request: requests.InboundRequest) -> _Signed:
        check = signatures.Check(request.signature_headers, self._public.secrets.usable(request.at))
        check.update(request.body)
        return _signed(request, check)

    def _unmatched(self, now: datetime) -> requests.Refusal:
        """Return the answer to an event that no secret matches.

        A forgery is refused for good. An event that may be genuine gets 503 and comes again; otherwise it would be
        lost.
        """
        secrets = self._public.secrets
        if secrets.awaits_secret(now):
            return requests.Refusal(
                503,
                "A new signing secret is being registered; send it again",
                "unknown secret",
                requests.RETRY_AFTER,
            )
        if secrets.has_unusable(now):
            return requests.Refusal(
                503, "A signing secret cannot be used; send it again", "unknown secret", requests.RETRY_LATER
            )
        if not secrets.usable(now):
            self._public.telemetry.log.error("webhook_secret_missing", hint="run `runledger webhooks register`")
            return requests.Refusal(
                503, "No signing secret is configured; send it again", "unknown secret", requests.RETRY_LATER
            )
        return _forgery()

    async def _require_known(self, key: str) -> None:
        """Raise Refusal for a late event unless it repeats one that is stored; the sender retries any other."""
        if not await self._public.database.read(deliveries.accepted_rows, [key]):
            hint = f"check this machine's clock and the event's {signatures.TIMESTAMP_HEADER}"
            self._public.telemetry.log.error("event_timestamp_rejected", hint=hint)
            raise requests.Refusal(
                503,
                "The signature is valid, but its timestamp is too far from now",
                "outside tolerance",
                requests.RETRY_LATER,
            )

    def _uncommitted(self, trouble: storage_errors.StorageError) -> requests.Refusal:
        """Return the answer to a delivery that was not committed.

        A full queue is counted and not logged, since senders decide how often it happens.
        """
        title = "The delivery was not committed; send it again"
        if isinstance(trouble, storage_errors.Busy):
            return requests.Refusal(503, title, "queue full", requests.RETRY_AFTER, kept=False)
        self._public.telemetry.log.error("delivery_commit_failed", reason=str(trouble))
        return requests.Refusal(503, title, retry_after=requests.RETRY_AFTER)

    async def _refuse(
        self, request: requests.InboundRequest, path: str, refusal: requests.Refusal, send: Send
    ) -> None:
        self._record_refusal(request, states.Source.PLATFORM if path == EVENTS else states.Source.WATCHER, refusal)
        await _refuse(send, refusal, close=not request.is_whole)

    def _record_refusal(
        self, request: requests.InboundRequest, source: states.Source, refusal: requests.Refusal
    ) -> None:
        """Add a request to the rejection buffer, whole where a secret that is added may verify it."""
        if refusal.cause is None:
            return
        self._public.telemetry.rejected(source, refusal.cause)
        if not refusal.kept:
            self._public.rejections.count(refusal.cause)
            return
        whole = refusal.cause in ("bad signature", "unknown secret", "outside tolerance")
        self._public.rejections.add(
            request.rejected(source, refusal.cause, len(request.body) if whole else requests.REJECTED_BYTES)
        )


async def _parsed(read: Callable[[bytes], R], body: bytes) -> R:
    """Return what a body claims. A large body is parsed in a thread, so that it does not block the event loop."""
    return read(body) if len(body) <= PARSED_ON_LOOP else await asyncio.to_thread(read, body)


@dataclass(frozen=True, slots=True)
class _Signed:
    """What a signature vouches for. `secret` is the name of the signing secret.

    `is_late` is true where the signed time is outside the tolerance.
    """

    secret: str
    delivery_id: str
    is_late: bool


def _signed(request: requests.InboundRequest, check: signatures.Check) -> _Signed:
    """Return what a check that has seen the whole body vouches for. Raises BadSignature."""
    try:
        verified = check.verified(request.at.timestamp())
    except errors.OutsideTolerance as late:
        return _Signed(late.secret, late.delivery_id, is_late=True)
    return _Signed(verified.secret, verified.delivery_id, is_late=False)


def _event_key(event: payload_hints.Event, request: requests.InboundRequest, delivery_id: str) -> str:
    """Return the dedupe key of an event: the id of its envelope, whatever the id of the delivery.

    An envelope without a usable id is identified by its delivery, by the id that was signed: a proxy may have
    doubled the header on one try alone. So is a truncated one, since its unread end may contain another id than
    its beginning.
    """
    if event.id and not request.is_truncated:
        return deliveries.event_key(event.id)
    return deliveries.delivery_key(delivery_id) if delivery_id else f"body:{request.sha256}"


def _truncation(request: requests.InboundRequest) -> str | None:
    """Return the note that the body was truncated, or None."""
    return "the body is larger than the limit: its beginning is kept" if request.is_truncated else None


async def _ignore_rest() -> requests.PieceReceiver:
    """Return a receiver that ignores the rest of a callback over the limit: only its request counts."""
    return lambda _: None


def _short(event_id: str | None) -> str | None:
    return None if event_id is None else event_id[:ID_LENGTH]


async def _refuse(send: Send, refusal: requests.Refusal, *, close: bool) -> None:
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
