"""The public endpoints: they read the raw bytes, commit a delivery, then answer 2xx.

This is a bare ASGI application, since anybody can call it. `POST /callbacks/{token}` takes watcher callbacks. They
are unsigned, so the token in the address is the proof and the body only a hint; a GET shows whether an address is
one of ours and changes nothing. `POST /webhooks/case` takes signed platform events. Any 4xx there loses the event
for good, so faults on our side are answered 503.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar
from urllib.parse import unquote

from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from receiver import client_address, errors, telemetry, timeouts
from receiver.crypto import signatures, tokens
from receiver.inbound import events, payload_hints, rejection_buffer, requests, webhook_secrets
from receiver.web import problems, request_limits
from storage import errors as storage_errors
from storage import states
from storage.engine import database
from storage.repositories import deliveries
from storage.transitions import receiving

CALLBACKS = "/callbacks/"
EVENTS = "/webhooks/case"
_CALLBACK_PATH = re.compile(r"/callbacks/[A-Za-z0-9._-]+")
#: Seconds after which a sender with too many failures may retry.
RETRY_AFTER_FAILURES = 10
#: The size of a body in bytes up to which it is parsed on the event loop.
PARSED_ON_LOOP = 65536

#: The header of an answer to a body that was not read completely: the connection cannot be used again.
_CLOSE = {"connection": "close"}
#: Errors that are not the sender's fault, or only for now: they are answered 503.
_TROUBLE = (
    storage_errors.Unavailable,
    storage_errors.UnstorableValue,
    errors.BodyTooSlow,
    errors.TooManyBodies,
)
#: The cause of a rejection that no secret verifies.
_FORGED = "bad signature"

R = TypeVar("R")


class _Answer:
    """The 200 to a delivery that was committed. It is sent most often, so its bytes are made directly."""

    def __init__(self, receipt: deliveries.Receipt, is_whole: bool) -> None:
        self._body = f'{{"receipt":"{receipt.id}","verdict":"{receipt.verdict.value}"}}'.encode()
        self._more = [] if is_whole else [(b"connection", b"close")]

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        length = (b"content-length", str(len(self._body)).encode())
        headers = [length, (b"content-type", b"application/json"), *self._more]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": self._body})


#: The result of a valid signature; OutsideTolerance where the signed time is too far from now.
_Proof = signatures.Verified | errors.OutsideTolerance


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

    >>> [canonical_path(path) for path in ("/webhooks/case/", "/ledger//Callbacks/01a2%2Eb")]
    ['/webhooks/case', '/callbacks/01a2.b']
    >>> [canonical_path(path) for path in ("/v1/runs/", "/callbacks", "/")]
    ['/v1/runs/', '/callbacks', '/']
    """
    if path == EVENTS or _CALLBACK_PATH.fullmatch(path):  # as nearly all of them are
        return path
    parts = [part for part in unquote(path).strip().split("/") if part]
    names = [part.lower() for part in parts[-2:]]
    if names == ["webhooks", "case"]:
        return EVENTS
    return f"{CALLBACKS}{parts[-1]}" if len(names) == 2 and names[0] == "callbacks" else path


@dataclass(frozen=True)
class PublicEndpoints:
    """The ASGI application of both public endpoints."""

    database: database.Database
    signer: tokens.Signer
    secrets: webhook_secrets.WebhookSecrets
    rejections: rejection_buffer.RejectionBuffer
    telemetry: telemetry.Telemetry
    timing: timeouts.Timing
    clock: Callable[[], datetime]
    body_limit: int
    limits: request_limits.Limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            response = await self._respond(scope, receive)
        except ClientDisconnect:  # while the client sent its body
            return
        await response(scope, receive, send)

    async def _respond(self, scope: Scope, receive: Receive) -> ASGIApp:
        path = canonical_path(client_address.path_below_mount(scope))
        if scope["method"] in ("GET", "HEAD") and self._is_ours(path):
            return Response(status_code=204)
        trusted = self.limits.trusted_proxies
        request = requests.InboundRequest(scope, receive, self.clock(), trusted, self.body_limit)
        try:
            if scope["method"] != "POST":
                raise requests.Refusal(405, "This path takes POST only")
            with self.limits.budget.lease() as lease:
                delivery = await (
                    self._event(request, lease) if path == EVENTS else self._callback(request, path, lease)
                )
            receipt = await self.database.write(receiving.accept_delivery, delivery)
        except requests.Refusal as refusal:
            return self._refused(request, path, refusal)
        except _TROUBLE as trouble:
            return self._refused(request, path, self._not_taken(trouble))
        self.telemetry.received(receipt, delivery)
        return _Answer(receipt, request.is_whole)

    def _is_ours(self, path: str) -> bool:
        """Return whether the path is a callback address of ours. Operators check this after moving a server."""
        try:
            self.signer.run_id(path.removeprefix(CALLBACKS))
        except errors.BadToken:
            return False
        return True

    async def _callback(
        self, request: requests.InboundRequest, path: str, lease: request_limits.BodyLease
    ) -> deliveries.Delivery:
        """Verify a watcher's callback. The token is checked first, so that a forged address costs little."""
        try:
            run_id = self.signer.run_id(path.removeprefix(CALLBACKS))
        except errors.BadToken:
            unknown = requests.Refusal(404, "No such callback address", cause="unknown token")
            raise self._charged(request, unknown) from None
        with lease.reading(self.timing.slow_body):
            await request.read(lease)
            if request.is_truncated:  # the beginning is enough for a hint
                await request.read_rest(lease)
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

    async def _event(
        self, request: requests.InboundRequest, lease: request_limits.BodyLease
    ) -> deliveries.Delivery:
        """Verify a signed event. Faults on our side are answered 503, so that the event is sent again."""
        if request.signature_headers.signature is None and self.limits.is_exhausted(request.remote_addr):
            raise _too_many(request, _FORGED)
        # The signature is checked before anything of the body is parsed.
        signed = await self._verified(request, lease)
        event = await _parsed(payload_hints.event, request.body)
        key = events.dedupe_key(event, signed.delivery_id, request.sha256, is_truncated=request.is_truncated)
        if isinstance(signed, errors.OutsideTolerance):
            await self._require_known(key)
        claims = events.claims(event, signed.secret, _truncation(request))
        return request.delivery(states.Source.PLATFORM, key, **claims)

    async def _verified(self, request: requests.InboundRequest, lease: request_limits.BodyLease) -> _Proof:
        """Read the body and return what the signature proves.

        A secret may be newer than what this process knows, so a mismatch is believed only after the secrets were
        refreshed. A body over the limit is verified by pieces, so it is tried once, with refreshed secrets.
        """
        with lease.reading(self.timing.slow_body):
            begun = await request.read(lease)
            if request.is_truncated:
                if request.signature_headers.signature is None:
                    raise self._too_large()
                await self._refresh_secrets(request)
                check = self._check(request, begun)
                await request.read_rest(lease, check.update)
                if not request.is_whole:
                    title = f"A body may have {request.read_limit} bytes at most"
                    raise requests.Refusal(503, title, "too large", requests.RETRY_LATER)
        if not request.is_truncated:
            try:
                return _proof(request, self._check(request, begun))
            except errors.BadSignature:
                await self._refresh_secrets(request)
            check = self._check(request, begun)
        try:
            return _proof(request, check)
        except errors.BadSignature:
            raise self._charged(request, self._unmatched(request)) from None

    async def _refresh_secrets(self, request: requests.InboundRequest) -> None:
        """Read the secrets again. Raises Refusal after too many failures of one address: its sender may retry."""
        if self.limits.is_exhausted(request.remote_addr):
            raise _too_many(request, _FORGED)
        await self.secrets.refresh(request.at)

    def _check(self, request: requests.InboundRequest, begun: bytes) -> signatures.Check:
        check = signatures.Check(request.signature_headers, self.secrets.usable(request.at))
        check.update(begun)
        return check

    def _charged(self, request: requests.InboundRequest, refusal: requests.Refusal) -> requests.Refusal:
        """Charge the sender's address for a failure to verify, and return the answer."""
        return self.limits.charge(request.remote_addr, refusal, _too_many(request, refusal.cause))

    def _too_large(self) -> requests.Refusal:
        """Return the answer to a body that is larger than the limit and not genuine."""
        return requests.Refusal(413, f"A body may have {self.body_limit} bytes at most", "too large")

    def _unmatched(self, request: requests.InboundRequest) -> requests.Refusal:
        """Return the answer to an event that no secret matches.

        A forgery is refused for good. An event that may be genuine gets 503 and comes again; otherwise it would be
        lost.
        """
        secrets, now, wait = self.secrets, request.at, requests.RETRY_LATER
        if secrets.awaits_secret(now):
            title, wait = "A new signing secret is being registered; send it again", requests.RETRY_AFTER
        elif secrets.has_unusable(now):
            title = "A signing secret cannot be used; send it again"
        elif not secrets.usable(now):
            title = "No signing secret is configured; send it again"
            self.telemetry.log.error("webhook_secret_missing", hint="run `runledger webhooks register`")
        elif request.is_truncated:
            return self._too_large()
        else:
            return requests.Refusal(401, "The signature does not verify", _FORGED)
        return requests.Refusal(503, title, "unknown secret", wait)

    async def _require_known(self, key: str) -> None:
        """Raise Refusal for a late event unless it repeats one that is stored; the sender retries any other."""
        if not await self.database.read(deliveries.accepted_rows, [key]):
            hint = f"check this machine's clock and the event's {signatures.TIMESTAMP_HEADER}"
            self.telemetry.log.error("event_timestamp_rejected", hint=hint)
            raise requests.Refusal(
                503,
                "The signature is valid, but its timestamp is too far from now",
                "outside tolerance",
                requests.RETRY_LATER,
            )

    def _not_taken(self, trouble: Exception) -> requests.Refusal:
        """Return the answer to a request that was not read completely, or whose delivery was not committed.

        Failures that senders can repeat at will are counted and not logged.
        """
        title, cause = "The delivery was not committed; send it again", None
        match trouble:
            case errors.BodyTooSlow():
                title, cause = "The body came too slowly; send it again", "slow body"
            case errors.TooManyBodies():
                title, cause = "Too much arrives at once; send it again", "no room"
            case storage_errors.Busy():
                cause = "queue full"
            case _:
                self.telemetry.log.error("delivery_commit_failed", reason=str(trouble))
        kept = not isinstance(trouble, (errors.TooManyBodies, storage_errors.Busy))
        return requests.Refusal(503, title, cause, requests.RETRY_AFTER, kept)

    def _refused(self, request: requests.InboundRequest, path: str, refusal: requests.Refusal) -> Response:
        """Record a refusal and return it as a problem answer."""
        self._record_refusal(request, states.Source.PLATFORM if path == EVENTS else states.Source.WATCHER, refusal)
        headers = {} if request.is_whole else dict(_CLOSE)
        if refusal.status == 405:
            headers["allow"] = "POST"
        if refusal.retry_after is not None:
            headers["retry-after"] = str(refusal.retry_after)
        problem = {"type": "about:blank", "title": refusal.title, "status": refusal.status}
        return JSONResponse(problem, refusal.status, headers, problems.MEDIA_TYPE)

    def _record_refusal(
        self, request: requests.InboundRequest, source: states.Source, refusal: requests.Refusal
    ) -> None:
        """Add a request to the rejection buffer, whole where a secret that is added may verify it."""
        if refusal.cause is None:
            return
        self.telemetry.rejected(source, refusal.cause)
        if not refusal.kept:
            self.rejections.count(refusal.cause)
            return
        whole = refusal.cause in (_FORGED, "unknown secret", "outside tolerance")
        self.rejections.add(
            request.rejected(source, refusal.cause, len(request.body) if whole else requests.REJECTED_BYTES)
        )


async def _parsed(read: Callable[[bytes], R], body: bytes) -> R:
    """Return what a body claims. A large body is parsed in a thread, so that it does not block the event loop."""
    return read(body) if len(body) <= PARSED_ON_LOOP else await asyncio.to_thread(read, body)


def _proof(request: requests.InboundRequest, check: signatures.Check) -> _Proof:
    """Return what a check of the whole body proves, also for a late request. Raises BadSignature."""
    try:
        return check.verified(request.at.timestamp())
    except errors.OutsideTolerance as late:
        return late


def _truncation(request: requests.InboundRequest) -> str | None:
    """Return the note that the body was truncated, or None."""
    return "the body is larger than the limit: its beginning is kept" if request.is_truncated else None
