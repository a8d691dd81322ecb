"""One large answer, parsed in a process of its own, which ends with it.

One call of the parser lets no other thread of its process go on for as long as it takes, and what it makes of an
answer may be thirty times as large. The process reads the answer from standard input and writes pickles to its
standard output, the run first, then its rows in pieces, and `None` at the end. It bounds itself; its arguments
are how many bytes of memory it may take, and the time now.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import os
import pickle
import resource
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from receiver import errors
from receiver.upstream import payloads, trail

#: Seconds of a processor that it may take, and how much others go first.
SECONDS = 60
NICENESS = 5
#: Rows and characters of one piece, roughly: each is read in one call, during which all others wait.
ROWS = 500
CHARACTERS = 1 << 20

#: What it writes once it has started, before it reads.
READY = b"ready\n"

Row = TypeVar("Row", trail.Step, trail.UsageEntry)


@dataclasses.dataclass(frozen=True, slots=True)
class Refusal:
    """The answer cannot be read; `is_deep` says that this is for its nesting."""

    message: str
    is_deep: bool


#: What is written, in this order: one of the first two, rows of steps, rows of usage, and the end.
Piece = payloads.Details | Refusal | list[trail.Step] | list[trail.UsageEntry] | None


def pieces(body: bytes, now: datetime.datetime) -> Iterator[Piece]:
    """What an answer says. The free values of its rows are canonical JSON already, which is what is stored."""
    try:
        details = payloads.details(body, now)
    except errors.Unreadable as failure:
        yield Refusal(failure.message, isinstance(failure, errors.TooDeep))
    else:
        yield dataclasses.replace(details, steps=(), usage=())
        yield from _rows([trail.encoded_step(each) for each in details.steps])
        yield from _rows([trail.encoded_entry(each) for each in details.usage])
    yield None


def _rows(rows: Sequence[Row]) -> Iterator[list[Row]]:
    piece: list[Row] = []
    size = 0
    for row in rows:
        piece.append(row)
        size += _size(row)
        if len(piece) >= ROWS or size >= CHARACTERS:
            yield piece
            piece, size = [], 0
    if piece:
        yield piece


def _size(row: trail.Step | trail.UsageEntry) -> int:
    values = (getattr(row, field.name) for field in dataclasses.fields(row))
    return sum(len(value) for value in values if isinstance(value, str))


def _confine(memory: int) -> None:
    """Bounds this process, and has it give way to others; the first to go where memory runs out."""
    for what, most in ((resource.RLIMIT_AS, memory), (resource.RLIMIT_CPU, SECONDS), (resource.RLIMIT_CORE, 0)):
        _, hard = resource.getrlimit(what)
        least = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (least, least))
    os.nice(NICENESS)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a service manager means the server, which waits for this


def main() -> None:
    """Say that it has started, read, parse, answer."""
    sys.stdout.buffer.write(READY)
    sys.stdout.buffer.flush()
    _confine(int(sys.argv[1]))
    body = sys.stdin.buffer.read()
    for piece in pieces(body, datetime.datetime.fromisoformat(sys.argv[2])):
        pickle.dump(piece, sys.stdout.buffer, protocol=5)
    sys.stdout.buffer.flush()
