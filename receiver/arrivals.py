"""A request to the public endpoints on its way in: its headers, its body within bounds, what is made of both."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from starlette.types import Receive, Scope

from receiver import addresses, admission, errors, signatures
from storage import deliveries, ids, merkle, states

#: Headers that are never kept.
UNKEPT = frozenset({"authorization", "proxy-authorization", "cookie", "set-cookie"})
#: Bytes of headers that are kept of one request, and of a rejected body that cannot be checked again.
HEADER_BYTES = 16384
REJECTED_BYTES = 4096
#: Bytes that are kept of a genuine body that is larger than the limit, and bytes of one that are read at all.
CUT_BYTES = 65536
READ_ON = 64 << 20
#: Seconds after which a sender may try again what we could not take or commit.
RETRY_AFTER = 2
#: Seconds after which it may try again what only an operator can mend.
RETRY_LATER = 60


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


class BeyondReading(Refusal):
    """A body of which not even the rest is read."""

    def __init__(self, most: int) -> None:
        super().__init__(503, f"Of a body {most} bytes are read at most", "too large", RETRY_LATER)


#: Takes each further piece of a body that is larger than the limit.
Further = Callable[[bytes], None]
#: Decides what is done with such a body. Raises Refusal where it is not to be read on.
Beyond = Callable[[], Awaitable[Further]]


@dataclass(frozen=True, slots=True)
class Bounds:
    """Bytes of a body that are taken as a whole, and seconds in which it has to come."""

    limit: int
    seconds: float

    @property
    def most(self) -> int:
        """Bytes that are read at all: of what is larger than the limit only the beginning is kept."""
        return max(READ_ON, self.limit)


class Arrival:
    """A request on its way in: its headers, and its body once it was read.

    Of a body that is larger than the limit `body` is the beginning, while `size` and `sha256` are of all of it.
    """

    def __init__(self, scope: Scope, receive: Receive, at: datetime, trusted: Sequence[addresses.Network]) -> None:
        self._receive = receive
        self.at = at
        lines = list(scope["headers"])
        self.headers = _headers(lines)
        self.claimed = signatures.claimed(_named(lines, signatures.HEADERS))
        peer = scope.get("client")
        forwarded = addresses.forwarding(_named(lines, addresses.FORWARDING))
        self.remote_addr = addresses.client_address(peer[0] if peer else None, forwarded, trusted)
        self.body = b""
        self.size = 0
        self.is_whole = self.is_cut = False
        self._sha256 = hashlib.sha256()

    async def read(self, bounds: Bounds, place: admission.Place, beyond: Beyond) -> bytes:
        """The body, bounded in bytes and in time. Raises Refusal, or Gone where the sender has left."""
        try:
            async with place.reading(bounds.seconds):
                return await self._read(bounds, place, beyond)
        except TimeoutError:
            title = "The body came too slowly; send it again"
            raise Refusal(503, title, "slow body", RETRY_AFTER) from None
        except errors.NoRoom:
            title = "Too much arrives at once; send it again"
            raise Refusal(503, title, "no room", RETRY_AFTER, kept=False) from None

    async def _read(self, bounds: Bounds, place: admission.Place, beyond: Beyond) -> bytes:
        chunks: list[bytes] = []
        declared = self._declared()
        while not self.is_whole:
            if max(declared, self.size) > bounds.limit:
                return await self._read_on(b"".join(chunks), bounds, place, beyond)
            chunks.append(await self._piece())
            place.take(len(chunks[-1]))
        self.body = b"".join(chunks)
        if self.size > bounds.limit:
            return await self._read_on(self.body, bounds, place, beyond)
        return self.body

    async def _read_on(self, begun: bytes, bounds: Bounds, place: admission.Place, beyond: Beyond) -> bytes:
        """The beginning of a body that is too large; the rest goes by."""
        kept = min(CUT_BYTES, bounds.limit)
        self.is_cut, self.body = True, begun[:kept]
        further = await beyond()
        further(begun)
        place.leave()
        place.take(kept)
        while not self.is_whole:
            if max(self._declared(), self.size) > bounds.most:
                raise BeyondReading(bounds.most)
            piece = await self._piece()
            further(piece)
            self.body += piece[: kept - len(self.body)]
        return self.body

    async def _piece(self) -> bytes:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise Gone
        piece: bytes = message.get("body", b"")
        self.size += len(piece)
        self._sha256.update(piece)
        self.is_whole = not message.get("more_body", False)
        return piece

    def _declared(self) -> int:
        """Bytes that the sender says will come; 0 where it says nothing of use."""
        declared = self.headers.get("content-length", "")
        return int(declared[:20]) if declared.isascii() and declared.isdigit() else 0

    @property
    def sha256(self) -> str:
        """Of all bytes that were read, in hex."""
        return self._sha256.hexdigest()

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
            self.sha256,
            whole_size=self.size,
            remote_addr=self.remote_addr,
            digests=digests,
            **known,
        )

    def rejected(self, road: states.Road, cause: str, kept: int) -> deliveries.Rejected:
        """What is kept of a request that did not verify."""
        body, whole = self.body[:kept], self.sha256
        return deliveries.Rejected(
            ids.new(self.at), road, self.at, self.headers, body, whole, self.size, cause, self.remote_addr
        )


def too_large(limit: int) -> Refusal:
    """The answer to a body that is larger than the limit and not genuine."""
    return Refusal(413, f"A body may have {limit} bytes at most", cause="too large")


def _named(lines: Iterable[tuple[bytes, bytes]], names: Collection[str]) -> dict[str, str]:
    """The headers of these names, however much stands beside them; several of one name joined by a comma."""
    found: dict[str, list[str]] = {}
    for name, value in lines:
        key = name.decode("latin-1").lower()
        if key in names:
            found.setdefault(key, []).append(value.decode("latin-1"))
    return {key: ", ".join(values) for key, values in found.items()}


def _headers(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Header lines as text, several of one name joined, secrets of the sender left out, bounded as a whole.

    What is signed comes first: by it what is kept can be checked again.
    """
    found: dict[str, str] = {}
    room = HEADER_BYTES
    for name, value in sorted(raw, key=lambda line: line[0].decode("latin-1").lower() not in signatures.HEADERS):
        room -= len(name) + len(value)
        key = name.decode("latin-1").lower()
        if key in UNKEPT or room < 0:
            continue
        text = value.decode("latin-1")
        found[key] = f"{found[key]}, {text}" if key in found else text
    return found
