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

#: The share of the full load at which latency is measured once more, for how many seconds, and how often at most.
SHARE, SECONDS, SHARE_ROUNDS = 0.8, 2.0, 3

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
    """Measure the servers in turn at full load and then at a share of it; return the figures of each."""
    full = _in_turn(receivers, rounds + 1, lambda each, name: each.send(f"full{name}", connections), unit)
    rates = {
        name: Figure.of([each.rate for each in made[1:]]) for name, made in full.items()
    }  # the first warms up
    shares = _in_turn(
        receivers,
        min(rounds, SHARE_ROUNDS),
        lambda each, name: each.send(f"share{name}", connections, rates[each.name].median * SHARE),
        f"{unit} at {SHARE:.0%}",
    )
    return {
        each.name: {
            f"{unit}/s": rates[each.name],
            "p50 ms": Figure.of([made.p50 for made in full[each.name][1:]]),
            "p99 ms": Figure.of([made.p99 for made in full[each.name][1:]]),
            f"p99 ms at {SHARE:.0%}": Figure.of([made.p99 for made in shares[each.name]]),
            "CPU µs each": Figure.of([made.cpu for made in full[each.name][1:]]),
            "MB afterwards": Figure.of([resources.memory(each.pid)]),
        }
        for each in receivers
    }


def _in_turn(
    receivers: Sequence[Receiver], rounds: int, send: Callable[[Receiver, int], Round], title: str
) -> Mapping[str, list[Round]]:
    made: dict[str, list[Round]] = {each.name: [] for each in receivers}
    for number in range(rounds):
        print(f"\r{title}: round {number + 1} of {rounds}", end="", file=sys.stderr, flush=True)
        for each in receivers:
            made[each.name].append(send(each, number))
    print(file=sys.stderr)
    return made
