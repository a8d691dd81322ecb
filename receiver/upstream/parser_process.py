"""Parse one large answer in a process of its own, which ends with it.

The parser blocks all threads of its process for as long as it takes, and its result may be thirty times as large
as the answer. The process reads the answer from standard input and writes pickles to its standard output: first
the run, then its rows in pieces, and `None` at the end. It limits itself; its arguments are the memory that it may
use, in bytes, and the present time.
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
from receiver.upstream import payloads
from storage import results

#: Processor seconds that it may use, and its niceness.
SECONDS = 60
NICENESS = 5
#: Approximate rows and characters of one piece. Reading a piece is one call, during which all other tasks wait.
ROWS = 500
CHARACTERS = 1 << 20

#: Written once it has started, before it reads.
READY = b"ready\n"

Row = TypeVar("Row", results.Step, results.Usage)


@dataclasses.dataclass(frozen=True, slots=True)
class Refusal:
    """The answer cannot be read; `is_deep` means that it nests too deeply."""

    message: str
    is_deep: bool


#: The written values in order: one of the first two, step rows, usage rows, and None.
Piece = payloads.Details | Refusal | list[results.Step] | list[results.Usage] | None


def pieces(body: bytes, now: datetime.datetime) -> Iterator[Piece]:
    """Yield the parsed answer in pieces."""
    try:
        details = payloads.details(body, now)
    except errors.InvalidResponse as failure:
        yield Refusal(failure.message, isinstance(failure, errors.ResponseTooDeep))
    else:
        yield dataclasses.replace(details, steps=(), usage=())
        yield from _rows(details.steps)
        yield from _rows(details.usage)
    yield None


def _rows(rows: Sequence[Row]) -> Iterator[list[Row]]:
    piece: list[Row] = []
    size = 0
    for row in rows:
        piece.append(row)
        values = (getattr(row, field.name) for field in dataclasses.fields(row))
        size += sum(len(value) for value in values if isinstance(value, str))
        if len(piece) >= ROWS or size >= CHARACTERS:
            yield piece
            piece, size = [], 0
    if piece:
        yield piece


def _confine(memory: int) -> None:
    """Limit this process, lower its priority, and make it the first to be killed when memory runs out."""
    for limit, value in ((resource.RLIMIT_AS, memory), (resource.RLIMIT_CPU, SECONDS), (resource.RLIMIT_CORE, 0)):
        _, hard = resource.getrlimit(limit)
        lowest = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(limit, (lowest, lowest))
    os.nice(NICENESS)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    # a service manager signals the whole group, and the server waits for this process
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def main() -> None:
    """Report the start, read the answer, parse it, and write the pieces."""
    sys.stdout.buffer.write(READY)
    sys.stdout.buffer.flush()
    _confine(int(sys.argv[1]))
    body = sys.stdin.buffer.read()
    for piece in pieces(body, datetime.datetime.fromisoformat(sys.argv[2])):
        pickle.dump(piece, sys.stdout.buffer, protocol=5)
    sys.stdout.buffer.flush()
