"""A request to the public endpoints on its way in: its headers, its body within bounds, what is made of both."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from starlette.types import Receive, Scope

from receiver import addresses, admission, errors
from storage import deliveries, ids, merkle, states

#: Headers that are never kept.
UNKEPT = frozenset({"authorization", "proxy-authorization", "cookie", "set-cookie"})
#: Bytes of headers that are kept of one request, and of a rejected body that cannot be checked again.
HEADER_BYTES = 16384
REJECTED_BYTES = 4096
#: Seconds after which a sender may try again what we could not take or commit.
RETRY_AFTER = 2


class Refusal(Exception):
    """An answer other than 2xx, on its way out. `cause` is what rejections are counted by, None for our own.

    Of one that is not `kept` nothing but the count remains.
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


class Gone(Exception):
    """The sender left before its body was whole: there is nobody to answer."""


class Arrival:
    """A request on its way in: its headers, and its body once it was read."""

    def __init__(self, scope: Scope, receive: Receive, at: datetime, trusted: Sequence[addresses.Network]) -> None:
        self._receive = receive
        self.at = at
        self.headers = _headers(scope["headers"])
        peer = scope.get("client")
        forwarded = self.headers.get("x-forwarded-for")
        self.remote_addr = addresses.client_address(peer[0] if peer else None, forwarded, trusted)
        self.body = b""
        self.is_whole = False

    async def read(self, limit: int, seconds: float, place: admission.Place) -> bytes:
        """The body, bounded in bytes and in time. Raises Refusal, or Gone where the sender has left."""
        declared = self.headers.get("content-length", "")
        if declared.isascii() and declared.isdigit() and int(declared[:20]) > limit:
            raise _too_large(limit)
        try:
            async with place.reading(seconds):
                return await self._read(limit, place)
        except TimeoutError:
            raise Refusal(408, "The body came too slowly", cause="slow body") from None
        except errors.NoRoom:
            title = "Too much arrives at once; send it again"
            raise Refusal(503, title, "no room", RETRY_AFTER, kept=False) from None

    async def _read(self, limit: int, place: admission.Place) -> bytes:
        chunks: list[bytes] = []
        size = 0
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise Gone
            chunks.append(message.get("body", b""))
            size += len(chunks[-1])
            place.take(len(chunks[-1]))
            if size > limit:
                self.body = b"".join(chunks)[:REJECTED_BYTES]
                raise _too_large(limit)
            if not message.get("more_body", False):
                self.body, self.is_whole = b"".join(chunks), True
                return self.body

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


def _too_large(limit: int) -> Refusal:
    return Refusal(413, f"A body may have {limit} bytes at most", cause="too large")


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
