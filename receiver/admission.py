"""How much strangers may cost at once: bytes of bodies that are held, failures to verify of one address.

Neither turns away for good what may be genuine. A body that has to make room is answered 503 and comes again. A
bucket is charged by failures alone and looked at after one alone: all genuine callbacks come from a few addresses,
which they may share with anybody.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

from receiver import addresses, errors

#: Bytes of bodies that are held at once.
ROOM = 64 << 20


@dataclass(frozen=True, slots=True)
class Bounds:
    """Bytes of the room; failures of one origin at once, and seconds until one more of them is free.

    Of so many `origins` at most it is remembered: who is forgotten begins anew.
    """

    room: int = ROOM
    failures: int = 100
    seconds: float = 1.0
    origins: int = 4096


class Room:
    """The bodies of all requests together: those that are read, and those that wait to be looked at."""

    def __init__(self, most: int = ROOM) -> None:
        self.most = most
        self.held = 0
        #: Who is still reading, in order of their beginning.
        self._readers: dict[Place, None] = {}

    @contextmanager
    def place(self) -> Iterator[Place]:
        """A place for the body of one request, for as long as the block."""
        place = Place(self, self._readers)
        try:
            yield place
        finally:
            place.leave()

    def make(self) -> None:
        """Has those who have been reading for the longest go, until what is held fits.

        What is genuine has arrived in no time; what dwells here is slow, or means to be.
        """
        while self.held > self.most and self._readers:
            next(iter(self._readers)).give_way()


class Place:
    """What one request holds of the room."""

    def __init__(self, room: Room, readers: dict[Place, None]) -> None:
        self._room = room
        self._readers = readers
        self._size = 0
        self._has_given_way = False

    @asynccontextmanager
    async def reading(self, seconds: float) -> AsyncIterator[None]:
        """The time in which a body has to arrive.

        Raises TimeoutError when it is over, NoRoom where the body has to make room for others.
        """
        try:
            async with asyncio.timeout(seconds) as self._time:
                self._readers[self] = None
                try:
                    yield
                finally:
                    self._readers.pop(self, None)
        except TimeoutError:
            self._demand()
            raise

    def take(self, size: int) -> None:
        """So many bytes more have arrived. Raises NoRoom."""
        self._demand()
        self._size += size
        self._room.held += size
        self._room.make()
        self._demand()

    def give_way(self) -> None:
        """Lets go of all that was read, and has its reader hear of it at once."""
        self._has_given_way = True
        self._readers.pop(self, None)
        self.leave()
        if not self._time.expired():
            self._time.reschedule(0)

    def leave(self) -> None:
        """Holds nothing any more."""
        self._room.held -= self._size
        self._size = 0

    def _demand(self) -> None:
        if self._has_given_way:
            raise errors.NoRoom("more is being sent at once than is held here")


@dataclass
class Buckets:
    """Failures to verify, by origin: so many at once, then one more every so often. `now` is monotonic."""

    bounds: Bounds = field(default_factory=Bounds)
    #: When the bucket of an origin is full again; who was charged last stands last.
    _full_at: dict[str, float] = field(default_factory=dict)

    def __len__(self) -> int:
        """Origins that are remembered."""
        return len(self._full_at)

    def is_empty(self, address: str | None, now: float) -> bool:
        """Whether one more failure of this address is one too many."""
        bounds = self.bounds
        full_at = self._full_at.get(addresses.origin(address), now)
        return full_at + bounds.seconds > now + bounds.failures * bounds.seconds

    def charge(self, address: str | None, now: float) -> bool:
        """Takes one from the bucket of this address; False where there was none left."""
        if self.is_empty(address, now):
            return False
        origin = addresses.origin(address)
        self._full_at[origin] = max(self._full_at.pop(origin, now), now) + self.bounds.seconds
        if len(self._full_at) > self.bounds.origins:
            del self._full_at[next(iter(self._full_at))]
        return True


@dataclass(frozen=True)
class Admission:
    """The room and the buckets of one server, and the proxies whose word on who called is believed."""

    room: Room = field(default_factory=Room)
    buckets: Buckets = field(default_factory=Buckets)
    trusted: Sequence[addresses.Network] = ()

    def is_spent(self, address: str | None) -> bool:
        """Whether a failure from there would now be one too many."""
        return self.buckets.is_empty(address, asyncio.get_running_loop().time())

    def charge(self, address: str | None) -> bool:
        """A request from there did not verify; False where it was one too many."""
        return self.buckets.charge(address, asyncio.get_running_loop().time())
