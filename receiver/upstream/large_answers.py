"""Limit how many large answers are held at once, and parse them outside the event loop.

An answer is large from `THREAD_BYTES` on. It needs a slot before more of it is read, and keeps the slot until it
is stored. So the memory for large answers does not depend on how many runs end together.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import pickle
import subprocess
import sys
from typing import IO

import anyio

from receiver import errors
from receiver.upstream import parser_process, payloads, routes
from storage import results

#: Bytes up to which an answer is parsed on the event loop, and in a thread; a larger one is parsed in a process of
#: its own.
INLINE_BYTES = 64 << 10
THREAD_BYTES = 1 << 20
#: Large answers that are held at once.
SLOTS = 1
_PROGRAM = (
    "import sys; sys.path[:] = {path!r}; from receiver.upstream import parser_process; parser_process.main()"
)


@dataclasses.dataclass(frozen=True, slots=True)
class Bounds:
    """The Python that runs the parser process, its memory in bytes, and its time from start to end in seconds."""

    memory: int = 2 << 30
    seconds: float = 120.0
    program: str = sys.executable


BOUNDS = Bounds()


class Slot:
    """The slot that one answer may need, released at the end of the block to the answer that waits longest."""

    def __init__(self, free: anyio.Semaphore) -> None:
        self._free = free
        self.is_held = self.must_wait = False

    def __enter__(self) -> Slot:
        return self

    def __exit__(self, *_: object) -> None:
        if self.is_held:
            self._free.release()

    def try_acquire(self) -> bool:
        """Acquire the slot if one is free; return whether it is held."""
        if not self.is_held:
            try:
                self._free.acquire_nowait()
            except anyio.WouldBlock:
                self.must_wait = True
            else:
                self.is_held = True
        return self.is_held

    async def acquire(self) -> None:
        await self._free.acquire()
        self.is_held = True


async def details(body: bytes, now: datetime.datetime, bounds: Bounds = BOUNDS) -> payloads.Details:
    """Parse an answer in a place where its size does not delay other tasks.

    Raises InvalidResponse and ResponseTooDeep as `payloads.details` does, ParserLimitExceeded, and
    ParserNotStarted.
    """
    if len(body) <= INLINE_BYTES:
        return payloads.details(body, now)
    if len(body) <= THREAD_BYTES:
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
    # It imports from the same paths as this process; the environment has no influence. In the same session, an
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
    """Write an answer to the process, and read the parsed pieces."""
    assert process.stdin is not None
    assert process.stdout is not None
    if process.stdout.read(len(parser_process.READY)) != parser_process.READY:
        raise errors.ParserNotStarted(bounds.program)
    try:
        process.stdin.write(body)
        process.stdin.close()
        return _assembled(process.stdout, body)
    except (OSError, EOFError, pickle.UnpicklingError):
        raise _too_costly(body) from None


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill the process and close its pipes; a thread that still uses them gets an error."""
    process.kill()
    with contextlib.suppress(OSError), process:
        pass


def _assembled(output: IO[bytes], body: bytes) -> payloads.Details:
    """Read the pieces of a parsed answer and put them together."""
    found: parser_process.Piece = pickle.load(output)  # the bytes come from our own process, through our own pipe
    if not isinstance(found, payloads.Details):
        is_deep = isinstance(found, parser_process.Refusal) and found.is_deep
        message = found.message if isinstance(found, parser_process.Refusal) else "the parser gave no reason"
        raise (errors.ResponseTooDeep if is_deep else errors.InvalidResponse)(routes.DETAILS, message, body)
    steps, usage = list[results.Step](), list[results.Usage]()
    while rows := pickle.load(output):
        (steps if isinstance(rows[0], results.Step) else usage).extend(rows)
    return dataclasses.replace(found, steps=tuple(steps), usage=tuple(usage))


def _too_costly(body: bytes) -> errors.ParserLimitExceeded:
    return errors.ParserLimitExceeded(
        routes.DETAILS, "parsing it takes more memory or time than there is for it", body
    )
