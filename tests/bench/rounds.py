"""The same load for several servers in turn, and what it cost each of them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import uvloop

from tests import server
from tests.bench import load, resources
from tests.bench.report import Figure, Row
from tests.patience import until

#: The share of the full load at which latency is measured once more, and for how many seconds.
SHARE, SECONDS = 0.8, 1.0

#: Makes so many requests; the text is part of their ids.
MakeRequests = Callable[[int, str], Sequence[bytes]]


@dataclass(frozen=True)
class Round:
    """One round: answers per second, latencies in milliseconds, microseconds of CPU for each answer."""

    rate: float
    p50: float
    p99: float
    cpu: float


@dataclass
class Receiver:
    """A server under load; `accepted` and `others` count all its answers."""

    name: str
    port: int
    pid: int
    events: int
    make_requests: MakeRequests
    accepted: int = 0
    others: int = 0

    def send(self, prefix: str, connections: int, rate: float | None = None) -> Round:
        """Send one round of the load."""
        count = self.events if rate is None else min(self.events, int(rate * SECONDS) + 1)
        requests = self.make_requests(count, prefix)
        before = resources.cpu_seconds(self.pid)
        tally, seconds = uvloop.run(load.run(self.port, requests, connections, rate))
        cpu = resources.cpu_seconds(self.pid) - before
        answered = len(tally.seconds)
        self.accepted += answered
        self.others += tally.others
        milliseconds = tally.percentile(0.5), tally.percentile(0.99)
        return Round(answered / seconds, *milliseconds, cpu / max(1, answered) * 1e6)


@contextmanager
def peer(module: str, *arguments: str) -> Iterator[tuple[int, int]]:
    """Run a peer in a process of its own; return its port and its process id."""
    port = server.free_port()
    process = subprocess.Popen([sys.executable, "-m", f"tests.bench.{module}", str(port), *arguments])
    try:
        until(lambda: server.listens(port), why=f"{module} did not start")
        yield port, process.pid
    finally:
        process.terminate()
        process.wait()


def compare(receivers: Sequence[Receiver], rounds: int, connections: int, unit: str) -> Mapping[str, Row]:
    """Measure the servers in turn, after a round that does not count; return the figures of each.

    A round at full load is followed by one at a share of its own rate, since the machine's other load changes.
    """
    measured: dict[str, list[tuple[Round, Round]]] = {each.name: [] for each in receivers}
    for number in range(rounds + 1):
        print(f"\r{unit}: round {number} of {rounds}", end="", file=sys.stderr, flush=True)
        for each in receivers:
            full = each.send(f"full{number}", connections)
            part = each.send(f"part{number}", connections, full.rate * SHARE)
            measured[each.name].append((full, part))
    print(file=sys.stderr)
    return {each.name: _row(each, measured[each.name][1:], unit) for each in receivers}


def _row(receiver: Receiver, rounds: Sequence[tuple[Round, Round]], unit: str) -> Row:
    return {
        f"{unit}/s": Figure.of([full.rate for full, _ in rounds]),
        "p50 ms": Figure.of([full.p50 for full, _ in rounds]),
        "p99 ms": Figure.of([full.p99 for full, _ in rounds]),
        f"p99 ms at {SHARE:.0%}": Figure.of([part.p99 for _, part in rounds]),
        "CPU µs each": Figure.of([full.cpu for full, _ in rounds]),
        "MB afterwards": Figure.of([resources.memory(receiver.pid)]),
    }
