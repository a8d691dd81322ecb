"""Limits on unauthenticated requests: the bytes of bodies in memory, and failures to verify of one address.

Neither limit refuses a request for good that may be genuine. A body that is evicted is answered 503 and comes
again. A bucket is charged for failures only, and checked after a failure only: all genuine callbacks come from a
few addresses, which other senders may share.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from starlette.requests import ClientDisconnect
from starlette.types import Receive

from receiver import client_address, errors

E = TypeVar("E", bound=Exception)
#: The bytes of bodies that are held in memory at once.
BODY_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Bounds:
    """The bytes of the body budget; failures of one origin at once, and the seconds until one more is allowed.

    At most `origins` are remembered: a forgotten origin starts with a full bucket.
    """

    body_bytes: int = BODY_BYTES
    failures: int = 100
    seconds: float = 1.0
    origins: int = 4096


class BodyBudget:
    """The memory budget of all request bodies together: those being read, and those being verified."""

    def __init__(self, limit: int = BODY_BYTES) -> None:
        self.limit = limit
        self.used = 0
        #: The leases whose bodies are still being read, oldest first.
        self.readers: dict[BodyLease, None] = {}

    @contextmanager
    def lease(self) -> Iterator[BodyLease]:
        """Lease a part of the budget for the body of one request, for the length of the block."""
        lease = BodyLease(self)
        try:
            yield lease
        finally:
            lease.release()

    def evict(self) -> None:
        """Evict the bodies that have been arriving for the longest, until the budget is kept.

        A genuine body arrives in an instant; one that has been arriving for long is slow, perhaps on purpose.
        """
        while self.used > self.limit and self.readers:
            next(iter(self.readers)).revoke()


class BodyLease:
    """The part of the budget that one request uses."""

    def __init__(self, budget: BodyBudget) -> None:
        self._budget = budget
        self._size = 0
        self._is_evicted = False

    @asynccontextmanager
    async def reading(self, seconds: float) -> AsyncIterator[None]:
        """Limit the time in which a body has to arrive.

        Raises BodyTooSlow when it is over, TooManyBodies where the body was evicted.
        """
        try:
            async with asyncio.timeout(seconds) as self._time:
                self._budget.readers[self] = None
                try:
                    yield
                finally:
                    self._budget.readers.pop(self, None)
        except TimeoutError:
            self._require_lease()
            raise errors.BodyTooSlow(f"the body took longer than {seconds:g} s") from None

    def reserve(self, size: int) -> None:
        """Count `size` more bytes that have arrived. Raises TooManyBodies."""
        self._require_lease()
        self._size += size
        self._budget.used += size
        self._budget.evict()
        self._require_lease()

    def revoke(self) -> None:
        """Release all bytes and cancel the reader at once."""
        self._is_evicted = True
        self._budget.readers.pop(self, None)
        self.release()
        if not self._time.expired():
            self._time.reschedule(0)

    def release(self) -> None:
        """Release all bytes."""
        self._budget.used -= self._size
        self._size = 0

    def _require_lease(self) -> None:
        if self._is_evicted:
            raise errors.TooManyBodies("more is being sent at once than fits into memory; send it again")


class Body:
    """The body of one request on its way in.

    `declared` is the Content-Length header. It is not trusted, but a body that declares too much need not be read.
    `observe` is called with each piece.
    """

    def __init__(self, receive: Receive, declared: str, observe: Callable[[bytes], object] = len) -> None:
        self._receive = receive
        self._declared = int(declared[:20]) if declared.isascii() and declared.isdigit() else 0
        self._observe = observe
        self.size = 0
        self.is_whole = False

    def exceeds(self, limit: int) -> bool:
        """Return whether more than `limit` bytes have arrived or are declared."""
        return max(self._declared, self.size) > limit

    async def piece(self) -> bytes:
        """Return the next bytes. Raises ClientDisconnect."""
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        piece: bytes = message.get("body", b"")
        self.size += len(piece)
        self.is_whole = not message.get("more_body", False)
        self._observe(piece)
        return piece

    async def read(self, limit: int, lease: BodyLease) -> bytes:
        """Return the body, or the beginning of one that `exceeds` the limit.

        Raises ClientDisconnect, TooManyBodies.
        """
        pieces: list[bytes] = []
        while not self.is_whole and not self.exceeds(limit):
            pieces.append(await self.piece())
            lease.reserve(len(pieces[-1]))
        return b"".join(pieces)


@dataclass
class Buckets:
    """Failures to verify by origin: `failures` at once, then one more every `seconds`. `now` is monotonic."""

    bounds: Bounds = field(default_factory=Bounds)
    #: When the bucket of an origin is full again; the origin that was charged last comes last.
    _full_at: dict[str, float] = field(default_factory=dict)

    def __len__(self) -> int:
        """Return the number of origins that are remembered."""
        return len(self._full_at)

    def is_empty(self, address: str | None, now: float) -> bool:
        """Return whether one more failure of this address is one too many."""
        bounds = self.bounds
        full_at = self._full_at.get(client_address.origin(address), now)
        return full_at + bounds.seconds > now + bounds.failures * bounds.seconds

    def charge(self, address: str | None, now: float) -> bool:
        """Take one failure from the bucket of this address. Return False when there was none left."""
        if self.is_empty(address, now):
            return False
        origin = client_address.origin(address)
        self._full_at[origin] = max(self._full_at.pop(origin, now), now) + self.bounds.seconds
        if len(self._full_at) > self.bounds.origins:
            del self._full_at[next(iter(self._full_at))]
        return True


@dataclass(frozen=True)
class Limits:
    """The body budget and the buckets of one server, and the proxies whose forwarding headers are trusted."""

    budget: BodyBudget = field(default_factory=BodyBudget)
    buckets: Buckets = field(default_factory=Buckets)
    trusted_proxies: Sequence[client_address.Network] = ()

    def is_exhausted(self, address: str | None) -> bool:
        """Return whether one more failure of this address is one too many now."""
        return self.buckets.is_empty(address, asyncio.get_running_loop().time())

    def charge(self, address: str | None, failure: E, excess: E) -> E:
        """Charge an address for a request that did not verify.

        Return `failure`, or `excess` when it was one too many.
        """
        is_charged = self.buckets.charge(address, asyncio.get_running_loop().time())
        return failure if is_charged else excess
