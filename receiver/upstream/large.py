"""Large answers: how many there are at once, and where they are parsed.

An answer is large from `SMALL` on. It needs a place before more of it is read, and keeps that until it is stored:
what a server holds of large answers at once does not depend on how many runs end together.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import pickle
import subprocess
import sys
from collections.abc import Iterator
from typing import IO

import anyio

from receiver import errors
from receiver.upstream import parsing, payloads, routes, trail

#: Bytes up to which an answer is parsed on the event loop, and in a thread; a larger one has its own process.
TINY = 64 << 10
SMALL = 1 << 20
#: How many large answers are held at once.
PLACES = 1
_PROGRAM = "import sys; sys.path[:] = {path!r}; from receiver.upstream import parsing; parsing.main()"


@dataclasses.dataclass(frozen=True, slots=True)
class Bounds:
    """The Python that runs the process; the bytes of memory, and the seconds from start to end, that it has."""

    memory: int = 2 << 30
    seconds: float = 120.0
    program: str = sys.executable


BOUNDS = Bounds()


class Places:
    """Who holds a large answer; the others wait in order of arrival."""

    def __init__(self, number: int = PLACES) -> None:
        self._free = anyio.Semaphore(number)

    @contextlib.contextmanager
    def place(self) -> Iterator[Place]:
        """A place that may be taken within the block, and is free again after it."""
        place = Place(self._free)
        try:
            yield place
        finally:
            place.leave()


class Place:
    """What one answer may need."""

    def __init__(self, free: anyio.Semaphore) -> None:
        self._free = free
        self.is_taken = self.must_wait = False

    def take_now(self) -> bool:
        """Takes it where it is free; whether it is taken."""
        if not self.is_taken:
            try:
                self._free.acquire_nowait()
            except anyio.WouldBlock:
                self.must_wait = True
            else:
                self.is_taken = True
        return self.is_taken

    async def take(self) -> None:
        """Waits for it."""
        await self._free.acquire()
        self.is_taken = True

    def leave(self) -> None:
        """Has the next one go on."""
        if self.is_taken:
            self._free.release()
            self.is_taken = False


async def details(body: bytes, now: datetime.datetime, bounds: Bounds = BOUNDS) -> payloads.Details:
    """What an answer says, read where its size lets nobody else wait for it.

    Raises Unreadable and TooDeep as `payloads.details` does, TooCostly, and ParserNotStarted.
    """
    if len(body) <= TINY:
        return payloads.details(body, now)
    if len(body) <= SMALL:
        return await anyio.to_thread.run_sync(payloads.details, body, now)
    process = await anyio.to_thread.run_sync(_started, bounds, now)
    try:
        with anyio.fail_after(bounds.seconds):
            return await anyio.to_thread.run_sync(_parsed, process, body, bounds, abandon_on_cancel=True)
    except TimeoutError:
        raise _too_costly(body) from None
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(_end, process)


def _started(bounds: Bounds, now: datetime.datetime) -> subprocess.Popen[bytes]:
    # It imports from where this process did; the environment has no say in it. A session of its own, or an
    # interrupt at the terminal would end it before the server.
    return subprocess.Popen(
        [bounds.program, "-I", "-c", _PROGRAM.format(path=sys.path), str(bounds.memory), now.isoformat()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={},
        start_new_session=True,
    )


def _parsed(process: subprocess.Popen[bytes], body: bytes, bounds: Bounds) -> payloads.Details:
    """Gives the process an answer, and reads what it makes of it piece by piece."""
    assert process.stdin is not None
    assert process.stdout is not None
    if process.stdout.read(len(parsing.READY)) != parsing.READY:
        raise errors.ParserNotStarted(bounds.program)
    try:
        process.stdin.write(body)
        process.stdin.close()
        return _whole(process.stdout, body)
    except (OSError, EOFError, pickle.UnpicklingError):
        raise _too_costly(body) from None


def _end(process: subprocess.Popen[bytes]) -> None:
    """Nothing is left of the process, and who still speaks to it hears so."""
    process.kill()
    with contextlib.suppress(OSError), process:
        pass


def _whole(told: IO[bytes], body: bytes) -> payloads.Details:
    found: parsing.Piece = pickle.load(told)  # from a process of ours, through a pipe of ours
    if not isinstance(found, payloads.Details):
        is_deep = isinstance(found, parsing.Refusal) and found.is_deep
        message = found.message if isinstance(found, parsing.Refusal) else "nothing was said of it"
        raise (errors.TooDeep if is_deep else errors.Unreadable)(routes.DETAILS, message, body)
    steps, usage = list[trail.Step](), list[trail.UsageEntry]()
    while rows := pickle.load(told):
        (steps if isinstance(rows[0], trail.Step) else usage).extend(rows)
    return dataclasses.replace(found, steps=tuple(steps), usage=tuple(usage))


def _too_costly(body: bytes) -> errors.TooCostly:
    return errors.TooCostly(routes.DETAILS, "parsing it takes more memory or time than there is for it", body)
