"""Limits on unauthenticated requests: the bytes of bodies in memory, and failures to verify of one address.

Neither limit refuses a request for good that may be genuine. A body that is evicted is answered 503 and comes
again. A bucket is charged for failures only, and checked after a failure only: all genuine callbacks come from a
few addresses, which other senders may share.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from starlette.requests import ClientDisconnect
from starlette.types import Receive

from receiver import client_address, errors

E = TypeVar("E", bound=Exception)
#: The bytes of bodies that are held in memory at once.
BODY_BYTES = 64 << 20
#: The seconds by which an event loop may call back too early.
CLOCK_TICK = 0.001


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
        #: The leases whose bodies are still being read, oldest first, and when each has to be read.
        self.readers: dict[BodyLease, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0

    def lease(self) -> BodyLease:
        """Return a block for the body of one request, which leases a part of the budget until its end."""
        return BodyLease(self)

    def evict(self) -> None:
        """Evict the bodies that have been arriving for the longest, until the budget is kept.

        A genuine body arrives in an instant; one that has been arriving for long is slow, perhaps on purpose.
        """
        while self.used > self.limit and self.readers:
            next(iter(self.readers)).revoke()

    def begin(self, lease: BodyLease, until: float) -> None:
        """Add a reader, whose time is over at `until` by the clock of the event loop."""
        self.readers[lease] = until
        if self._timer is None or until < self._timer_at:
            self._set_timer(until)

    def _set_timer(self, until: float) -> None:
        """Set the one timer of all readers: most bodies arrive at once, so a timer for each would be wasted."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._timer_at = asyncio.get_running_loop().call_at(until, self._expire), until

    def _expire(self) -> None:
        """Stop the readers whose time is over."""
        self._timer, now = None, asyncio.get_running_loop().time() + CLOCK_TICK
        for lease in [lease for lease, until in self.readers.items() if until <= now]:
            del self.readers[lease]
            lease.interrupt()
        if self.readers:
            self._set_timer(min(self.readers.values()))


class BodyLease:
    """The part of the budget that one request uses, until the end of the block."""

    def __init__(self, budget: BodyBudget) -> None:
        self._budget = budget
        self._size = 0
        self._is_evicted = False
        self._reading: _Reading | None = None

    def __enter__(self) -> BodyLease:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def reading(self, seconds: float) -> _Reading:
        """Return a block in which a body has to arrive.

        It raises BodyTooSlow when the time is over, TooManyBodies where the body was evicted.
        """
        self._reading = _Reading(self, self._budget, seconds)
        return self._reading

    def reserve(self, size: int) -> None:
        """Count `size` more bytes that have arrived. Raises TooManyBodies."""
        self.require()
        self._size += size
        self._budget.used += size
        if self._budget.used > self._budget.limit:
            self._budget.evict()
            self.require()

    def revoke(self) -> None:
        """Release all bytes and cancel the reader at once."""
        self._is_evicted = True
        self._budget.readers.pop(self, None)
        self.release()
        self.interrupt()

    def interrupt(self) -> None:
        if self._reading is not None:
            self._reading.interrupt()

    def release(self) -> None:
        self._budget.used -= self._size
        self._size = 0

    def require(self) -> None:
        """Raise TooManyBodies where the body was evicted."""
        if self._is_evicted:
            raise errors.TooManyBodies("more is being sent at once than fits into memory; send it again")


class _Reading:
    """The block of a reader, which is cancelled when it is interrupted."""

    def __init__(self, lease: BodyLease, budget: BodyBudget, seconds: float) -> None:
        self._lease, self._budget, self._seconds = lease, budget, seconds
        self._interruption: asyncio.Handle | None = None
        self._is_cancelled = False

    def __enter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None  # an event loop runs a request in a task
        self._task, self._cancelled_before = task, task.cancelling()
        self._budget.begin(self._lease, asyncio.get_running_loop().time() + self._seconds)

    def interrupt(self) -> None:
        """Cancel the reader, unless the block ends first: it may be the reader itself that calls this."""
        if self._interruption is None:
            self._interruption = asyncio.get_running_loop().call_soon(self._cancel)

    def _cancel(self) -> None:
        self._is_cancelled = True
        self._task.cancel()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._budget.readers.pop(self._lease, None)
        if self._interruption is not None:
            self._interruption.cancel()
        if not self._is_cancelled:
            return
        is_only_ours = self._task.uncancel() <= self._cancelled_before
        if is_only_ours and kind is asyncio.CancelledError:
            self._lease.require()
            raise errors.BodyTooSlow(f"the body took longer than {self._seconds:g} s") from None


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
        return self._declared > limit or self.size > limit

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
            piece = await self.piece()
            lease.reserve(len(piece))
            pieces.append(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)


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
