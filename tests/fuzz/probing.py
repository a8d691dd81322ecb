"""Request `/healthz` all the time from a process of its own, and record the latencies, less the machine's load.

On a busy machine an answer is late also where nothing is wrong. What the kernel says that one thread of the
server and the prober itself waited for a core meanwhile (`schedstat`) is therefore taken off: what is left is the
server's. Work that holds the interpreter runs, rather than waits, so it is not taken off.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

#: Seconds between two requests, and the timeout of one.
PAUSE = 0.1
GIVEN_UP = 40.0


@dataclass(frozen=True)
class Probe:
    """One request: when it was sent, its latency in seconds, of these spent waiting for a core."""

    at: float
    seconds: float
    waited: float
    status: int

    @property
    def own(self) -> float:
        """Return the seconds that the server itself took."""
        return max(0.0, self.seconds - self.waited)


def probe(port: int, pid: int, pipe: Connection) -> None:
    """Probe until the other end of the pipe closes."""
    with contextlib.suppress(BrokenPipeError, OSError, EOFError):
        while not pipe.poll():
            pipe.send(_asked(port, pid))
            time.sleep(PAUSE)


def _asked(port: int, pid: int) -> Probe:
    begun, server, own = time.monotonic(), _waits(pid), _waits(os.getpid())
    status = _status(port)
    seconds = time.monotonic() - begun
    waited = _most(server, _waits(pid)) + _most(own, _waits(os.getpid()))
    return Probe(begun, seconds, waited, status)


def _status(port: int) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=GIVEN_UP)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


def _most(before: dict[str, float], after: dict[str, float]) -> float:
    """Return the longest time that one thread has waited meanwhile."""
    return max((now - before.get(thread, 0.0) for thread, now in after.items()), default=0.0)


def _waits(pid: int) -> dict[str, float]:
    """Return the seconds that each thread of a process has waited for a core."""
    return dict(_each_wait(Path(f"/proc/{pid}/task")))


def _each_wait(tasks: Path) -> Iterator[tuple[str, float]]:
    with contextlib.suppress(OSError):
        for task in tasks.iterdir():
            with contextlib.suppress(OSError, IndexError, ValueError):
                yield task.name, int((task / "schedstat").read_text().split()[1]) / 1e9


def resident(pid: int) -> int:
    """Return the bytes of memory that a process occupies."""
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0
