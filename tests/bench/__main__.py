"""`make bench`: callbacks per second with every 2xx checked in the database, against a peer that stores nothing.

Both are real servers in processes of their own, with the same load in turn over loopback. ARGS may be
`--events N --rounds N --connections N --database postgresql`, a real server with the durability of SQLite.
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

import httpx2 as httpx
import uvloop

from receiver.crypto import signatures
from tests import postgres, server
from tests.bench import load, product
from tests.patience import until

SECRET = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="


@dataclass(frozen=True)
class Round:
    """One round of one server: answers per second, and latencies in milliseconds."""

    rate: float
    p50: float
    p99: float
    accepted: int
    others: int


def send_load(port: int, events: int, connections: int, prefix: str) -> Round:
    """Send the load once."""
    requests = load.events(signatures.decode(SECRET), events, prefix, "127.0.0.1")
    tally, seconds = uvloop.run(load.run(port, requests, connections))
    rate = len(tally.seconds) / seconds
    return Round(rate, tally.percentile(0.5), tally.percentile(0.99), len(tally.seconds), tally.others)


def start_peer(port: int) -> subprocess.Popen[bytes]:
    """Run the peer."""
    process = subprocess.Popen([sys.executable, "-m", "tests.bench.bare", str(port), SECRET])
    until(lambda: _listens(port), why="the peer did not start")
    return process


def _listens(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/", timeout=1).status_code == 404
    except httpx.TransportError:
        return False


def stored_count(ours: server.Server) -> int:
    """Return how many requests the database has, as rows or as counted repeats."""
    counted = "SELECT count(*) + sum(repeats) AS n FROM deliveries WHERE verdict <> 'rejected'"
    return int(ours.rows(counted)[0]["n"] or 0)


def report(name: str, rounds: list[Round]) -> float:
    """Print one line; return the median rate."""
    rate = statistics.median(each.rate for each in rounds)
    p50 = statistics.median(each.p50 for each in rounds)
    p99 = statistics.median(each.p99 for each in rounds)
    spread = f"{min(each.rate for each in rounds):,.0f} to {max(each.rate for each in rounds):,.0f}"
    print(f"{name:34} {rate:8,.0f} callbacks/s ({spread})   p50 {p50:6.2f} ms   p99 {p99:6.2f} ms")
    return rate


def main() -> int:
    """Run the rounds and report; return 1 where an answered request is not in the database."""
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("--events", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    args = parser.parse_args()
    with site(args.database) as place, product.running(place, webhook_secrets=SECRET) as ours:
        peer_port = server.free_port()
        peer = start_peer(peer_port)
        try:
            return compare(ours, peer_port, args)
        finally:
            peer.terminate()
            peer.wait()


@contextmanager
def site(database: str) -> Iterator[server.Site]:
    """Return a site for the server, with a fresh database of that kind."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        if database == "sqlite":
            yield server.Site(Path(folder))
            return
        cluster = stack.enter_context(postgres.running(durable=True))
        yield server.Site(Path(folder), cluster.fresh())


def compare(ours: server.Server, peer_port: int, args: argparse.Namespace) -> int:
    """Run the rounds of both servers in turn, after one that does not count."""
    stored, passed = [], []
    for number in range(args.rounds + 1):
        prefix = f"r{number}"
        stored.append(send_load(ours.port, args.events, args.connections, prefix))
        passed.append(send_load(peer_port, args.events, args.connections, prefix))
        print(f"\rround {number} of {args.rounds}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    rate = report("Runledger (verified and committed)", stored[1:])
    peer = report("bare Starlette (verified only)", passed[1:])
    acknowledged, known = sum(each.accepted for each in stored), stored_count(ours)
    others = sum(each.others for each in stored)
    print(f"ratio {rate / peer:.2f}; {acknowledged:,} answered 2xx, {known:,} stored, {others} other answers")
    return 0 if acknowledged == known else 1


if __name__ == "__main__":
    sys.exit(main())
