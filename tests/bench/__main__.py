"""`make bench`: callbacks a second with every 2xx found in the database, compared with a peer that stores nothing.

Both are real servers in processes of their own, asked in turn over loopback by the same client. ARGS may say
`--events N --rounds N --connections N --database postgresql`, which is a real one here and as durable as SQLite.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2 as httpx
import uvloop

from receiver.crypto import signatures
from tests import postgres, server
from tests.bench import load
from tests.patience import until

SECRET = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="


@dataclass(frozen=True)
class Round:
    """One turn of one server: answers a second, and milliseconds."""

    rate: float
    p50: float
    p99: float
    accepted: int
    others: int


def turn(port: int, events: int, connections: int, prefix: str) -> Round:
    """Sends the load once."""
    requests = load.events(signatures.decode(SECRET), events, prefix, "127.0.0.1")
    tally, seconds = uvloop.run(load.run(port, requests, connections))
    rate = len(tally.seconds) / seconds
    return Round(rate, tally.percentile(0.5), tally.percentile(0.99), len(tally.seconds), tally.others)


def bare(port: int) -> subprocess.Popen[bytes]:
    """The peer, started."""
    process = subprocess.Popen([sys.executable, "-m", "tests.bench.bare", str(port), SECRET])
    until(lambda: _listens(port), why="the peer did not start")
    return process


def _listens(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/", timeout=1).status_code == 404
    except httpx.TransportError:
        return False


def found(ours: server.Server) -> int:
    """Requests that the database knows: rows and repeats."""
    counted = "SELECT count(*) + sum(repeats) AS n FROM deliveries WHERE verdict <> 'rejected'"
    return int(ours.rows(counted)[0]["n"] or 0)


def report(name: str, rounds: list[Round]) -> float:
    """One line; answers the median rate."""
    rate = statistics.median(each.rate for each in rounds)
    p50 = statistics.median(each.p50 for each in rounds)
    p99 = statistics.median(each.p99 for each in rounds)
    spread = f"{min(each.rate for each in rounds):,.0f} to {max(each.rate for each in rounds):,.0f}"
    print(f"{name:34} {rate:8,.0f} callbacks/s ({spread})   p50 {p50:6.2f} ms   p99 {p99:6.2f} ms")
    return rate


def main() -> int:
    """Runs the rounds and reports; 1 where an answered request is not in the database."""
    wanted = argparse.ArgumentParser(prog="make bench")
    wanted.add_argument("--events", type=int, default=10_000)
    wanted.add_argument("--rounds", type=int, default=5)
    wanted.add_argument("--connections", type=int, default=32)
    wanted.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    args = wanted.parse_args()
    settings: dict[str, Any] = {"webhook_secrets": SECRET, "public_url": "", "log_level": "error"}
    # Nothing listens upstream: what is measured is the writer, not the worker.
    quiet = {"pause": 600.0, "pause_most": 600.0}
    with (
        site(args.database) as place,
        server.running(place, "http://127.0.0.1:9", timing=quiet, **settings) as ours,
    ):
        peer_port = server.free_port()
        peer = bare(peer_port)
        try:
            return compare(ours, peer_port, args)
        finally:
            peer.terminate()
            peer.wait()


@contextmanager
def site(database: str) -> Iterator[server.Site]:
    """A place for the server, with a fresh database of that kind."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        if database == "sqlite":
            yield server.Site(Path(folder))
            return
        cluster = stack.enter_context(postgres.running(durable=True))
        yield server.Site(Path(folder), cluster.fresh())


def compare(ours: server.Server, peer_port: int, args: argparse.Namespace) -> int:
    """The rounds in turn, one not counted first."""
    stored, passed = [], []
    for number in range(args.rounds + 1):
        prefix = f"r{number}"
        stored.append(turn(ours.port, args.events, args.connections, prefix))
        passed.append(turn(peer_port, args.events, args.connections, prefix))
        print(f"\rround {number} of {args.rounds}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    rate = report("Runledger (verified and committed)", stored[1:])
    peer = report("bare Starlette (verified only)", passed[1:])
    acknowledged, known = sum(each.accepted for each in stored), found(ours)
    others = sum(each.others for each in stored)
    print(f"ratio {rate / peer:.2f}; {acknowledged:,} answered 2xx, {known:,} found, {others} answered otherwise")
    return 0 if acknowledged == known else 1


if __name__ == "__main__":
    sys.exit(main())
