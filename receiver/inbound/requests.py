"""Requests to the public endpoints: headers, a bounded body, and the delivery that is made of both."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from starlette.types import Receive, Scope

from receiver import client_address
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


@dataclass(eq=False)
class Refusal(Exception):
    """An answer other than 2xx. Rejections are counted by `cause`, which is None for faults on our side.

    `retry_after` is in seconds. When `kept` is false, only the count remains of the request.
    """

    status: int
    title: str
    cause: str | None = None
    retry_after: int | None = None
    kept: bool = True


class InboundRequest:
    """A request on its way in: its headers, and its body once it was read.

    Of a body that is larger than the limit, `body` is the beginning, while `sha256` is of all of it.
    """

    def __init__(
        self, scope: Scope, receive: Receive, at: datetime, trusted: Sequence[client_address.Network], limit: int
    ) -> None:
        self.at = at
        lines = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in scope["headers"]]
        every = _joined(lines)
        self.headers = _stored(lines, every)
        self.signature_headers = signatures.signature_headers(every)
        self.remote_addr = client_address.of_request(scope, every, trusted)
        self.body = b""
        self.is_truncated = False
        self._limit, self._kept = limit, min(TRUNCATED_BYTES, limit)
        self._sha256 = hashlib.sha256()
        self._incoming = request_limits.Body(receive, self.headers.get("content-length", ""), self._sha256.update)

    async def read(self, lease: request_limits.BodyLease) -> bytes:
        """Return the body, or the beginning of one that is larger than the limit, which is kept truncated.

        Raises TooManyBodies, and ClientDisconnect.
        """
        begun = await self._incoming.read(self._limit, lease)
        self.is_truncated = self._incoming.exceeds(self._limit)
        self.body = begun[: self._kept] if self.is_truncated else begun
        return begun

    async def read_rest(self, lease: request_limits.BodyLease, observe: Callable[[bytes], object] = len) -> None:
        """Read the rest of a truncated body without storing it; `observe` is called with each piece.

        A body that is even larger than what is read at all is left unread. Raises ClientDisconnect.
        """
        lease.release()
        lease.reserve(self._kept)
        while not self.is_whole and not self._incoming.exceeds(self.read_limit):
            piece = await self._incoming.piece()
            observe(piece)
            self.body += piece[: self._kept - len(self.body)]

    @property
    def read_limit(self) -> int:
        """Return the bytes that are read at all: of a body over the limit only the beginning is stored."""
        return max(MAX_READ_BYTES, self._limit)

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
        headers = merkle.canonical(self.headers)
        digests = (*merkle.salted_digest("headers", headers), *merkle.salted_digest("body", self.body))
        return deliveries.Delivery(
            ids.new(self.at),
            source,
            key,
            self.at,
            merkle.CanonicalJson(headers.decode()),
            self.body,
            self.sha256,
            whole_size=self._incoming.size,
            remote_addr=self.remote_addr,
            digests=digests,
            **claimed,
        )

    def rejected(self, source: states.Source, cause: str, kept: int) -> deliveries.RejectedRequest:
        """Return what is stored of a request that did not verify."""
        body, digest, size = self.body[:kept], self.sha256, self._incoming.size
        return deliveries.RejectedRequest(
            ids.new(self.at), source, self.at, self.headers, body, digest, size, cause, self.remote_addr
        )


def _joined(lines: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return header lines by their name; several lines of one name are joined by a comma."""
    texts: dict[str, str] = {}
    for name, value in lines:
        texts[name] = f"{texts[name]}, {value}" if name in texts else value
    return texts


def _stored(lines: Sequence[tuple[str, str]], every: dict[str, str]) -> dict[str, str]:
    """Return the headers that are stored: bounded in total size, without the sender's credentials.

    The headers of the signature come first: with them a stored request can be checked again. `every` has all
    headers by their name.
    """
    if sum(map(len, [*every, *every.values()])) <= HEADER_BYTES and DROPPED_HEADERS.isdisjoint(every):
        return every
    remaining = HEADER_BYTES
    stored: list[tuple[str, str]] = []
    for name, value in sorted(lines, key=lambda line: line[0] not in signatures.HEADERS):
        remaining -= len(name) + len(value)
        if name not in DROPPED_HEADERS and remaining >= 0:
            stored.append((name, value))
    return _joined(stored)
