"""Requests to the public endpoints: headers, a bounded body, and the delivery that is made of both."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from starlette.types import Receive, Scope

from receiver import client_address, errors
from receiver.crypto import signatures
from receiver.web import request_limits
from storage import ids, merkle, states
from storage.repositories import deliveries

#: Headers that are never stored.
DROPPED_HEADERS = frozenset({"authorization", "proxy-authorization", "cookie", "set-cookie"})
#: The bytes of headers that are stored of one request, and of a rejected body that cannot be checked again.
HEADER_BYTES = 16384
REJECTED_BYTES = 4096
#: The bytes that are stored of a genuine body over the limit, and the bytes of one that are read at all.
TRUNCATED_BYTES = 65536
MAX_READ_BYTES = 64 << 20
#: Seconds after which a sender may retry a request that could not be read or committed.
RETRY_AFTER = 2
#: Seconds after which a sender may retry a request that fails until an operator acts.
RETRY_LATER = 60


class Refusal(Exception):
    """An answer other than 2xx. Rejections are counted by `cause`; None stands for faults of our own.

    When `kept` is false, only the count remains of the request.
    """

    def __init__(
        self,
        status: int,
        title: str,
        cause: str | None = None,
        retry_after: int | None = None,
        *,
        kept: bool = True,
    ) -> None:
        super().__init__(title)
        self.status = status
        self.title = title
        self.cause = cause
        self.retry_after = retry_after
        self.kept = kept


class TooLargeToRead(Refusal):
    """A body so large that not even its rest is read."""

    def __init__(self, limit: int) -> None:
        super().__init__(503, f"A body may have {limit} bytes at most", "too large", RETRY_LATER)


#: Receives each piece of a body that is larger than the limit.
PieceReceiver = Callable[[bytes], None]
#: Decides what receives the pieces of such a body. Raises Refusal where the rest is not to be read.
OversizeHandler = Callable[[], Awaitable[PieceReceiver]]


@dataclass(frozen=True, slots=True)
class BodyBounds:
    """The bytes of a body that are stored as a whole, and the seconds within which it has to arrive."""

    limit: int
    seconds: float

    @property
    def read_limit(self) -> int:
        """Return the bytes that are read at all: of a body over the limit only the beginning is stored."""
        return max(MAX_READ_BYTES, self.limit)


class InboundRequest:
    """A request on its way in: its headers, and its body once it was read.

    Of a body that is larger than the limit, `body` is the beginning, while `size` and `sha256` are of all of it.
    """

    def __init__(
        self, scope: Scope, receive: Receive, at: datetime, trusted: Sequence[client_address.Network]
    ) -> None:
        self.at = at
        lines = list(scope["headers"])
        self.headers = _headers(lines)
        self.signature_headers = signatures.signature_headers(_named(lines, signatures.HEADERS))
        self.remote_addr = client_address.of_request(scope, trusted)
        self.body = b""
        self.is_truncated = False
        self._sha256 = hashlib.sha256()
        self._incoming = request_limits.Body(receive, self.headers.get("content-length", ""), self._sha256.update)

    async def read(
        self, bounds: BodyBounds, lease: request_limits.BodyLease, on_oversize: OversizeHandler
    ) -> bytes:
        """Return the body, bounded in bytes and in time. Raises Refusal, and ClientDisconnect."""
        try:
            async with lease.reading(bounds.seconds):
                return await self._read(bounds, lease, on_oversize)
        except TimeoutError:
            title = "The body came too slowly; send it again"
            raise Refusal(503, title, "slow body", RETRY_AFTER) from None
        except errors.TooManyBodies:
            title = "Too much arrives at once; send it again"
            raise Refusal(503, title, "no room", RETRY_AFTER, kept=False) from None

    async def _read(self, bounds: BodyBounds, lease: request_limits.BodyLease, beyond: OversizeHandler) -> bytes:
        self.body = await self._incoming.read(bounds.limit, lease)
        if self._incoming.exceeds(bounds.limit):
            return await self._read_on(self.body, bounds, lease, beyond)
        return self.body

    async def _read_on(
        self, begun: bytes, bounds: BodyBounds, lease: request_limits.BodyLease, beyond: OversizeHandler
    ) -> bytes:
        """Return the beginning of a body that is too large, and read the rest without storing it."""
        kept = min(TRUNCATED_BYTES, bounds.limit)
        self.is_truncated, self.body = True, begun[:kept]
        further = await beyond()
        further(begun)
        lease.release()
        lease.reserve(kept)
        while not self.is_whole:
            if self._incoming.exceeds(bounds.read_limit):
                raise TooLargeToRead(bounds.read_limit)
            piece = await self._incoming.piece()
            further(piece)
            self.body += piece[: kept - len(self.body)]
        return self.body

    @property
    def size(self) -> int:
        """Return how many bytes of the body have arrived."""
        return self._incoming.size

    @property
    def is_whole(self) -> bool:
        """Return whether the body has arrived to its end."""
        return self._incoming.is_whole

    @property
    def sha256(self) -> str:
        """Return the SHA-256 of all bytes that were read, in hex."""
        return self._sha256.hexdigest()

    def delivery(self, source: states.Source, key: str, **claimed: Any) -> deliveries.Delivery:
        """Return this request as a delivery, with its digests."""
        digests = (
            *merkle.salted_digest("headers", merkle.canonical(self.headers)),
            *merkle.salted_digest("body", self.body),
        )
        return deliveries.Delivery(
            ids.new(self.at),
            source,
            key,
            self.at,
            self.headers,
            self.body,
            self.sha256,
            whole_size=self.size,
            remote_addr=self.remote_addr,
            digests=digests,
            **claimed,
        )

    def rejected(self, source: states.Source, cause: str, kept: int) -> deliveries.RejectedRequest:
        """Return what is stored of a request that did not verify."""
        body, whole = self.body[:kept], self.sha256
        return deliveries.RejectedRequest(
            ids.new(self.at), source, self.at, self.headers, body, whole, self.size, cause, self.remote_addr
        )


def too_large(limit: int) -> Refusal:
    """Return the answer to a body that is larger than the limit and not genuine."""
    return Refusal(413, f"A body may have {limit} bytes at most", cause="too large")


def _named(lines: Iterable[tuple[bytes, bytes]], names: Collection[str]) -> dict[str, str]:
    """Return the headers with these names; several lines of one name are joined by a comma."""
    texts: dict[str, list[str]] = {}
    for name, value in lines:
        key = name.decode("latin-1").lower()
        if key in names:
            texts.setdefault(key, []).append(value.decode("latin-1"))
    return {key: ", ".join(values) for key, values in texts.items()}


def _headers(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return header lines as text, bounded in total size, without the sender's credentials.

    Several lines of one name are joined. The headers of the signature come first: with them a stored request can
    be checked again.
    """
    texts: dict[str, str] = {}
    remaining = HEADER_BYTES
    for name, value in sorted(raw, key=lambda line: line[0].decode("latin-1").lower() not in signatures.HEADERS):
        remaining -= len(name) + len(value)
        key = name.decode("latin-1").lower()
        if key in DROPPED_HEADERS or remaining < 0:
            continue
        text = value.decode("latin-1")
        texts[key] = f"{texts[key]}, {text}" if key in texts else text
    return texts
