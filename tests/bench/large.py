"""`make bench-large`: large answers at once, and how long other requests wait during them.

The sandbox and the server are processes of their own on loopback. Eight runs end together, each with details of
50 MB, tool outputs of floats and words. Until they are settled and indexed, `/healthz` is requested on a
new connection and on an open one, and a signed event is sent, repeatedly. The report has the longest latency of
each, and the memory of the server, with and without its child processes. ARGS may be `--runs N`, `--size BYTES`,
`--database postgresql`, and `--read` to read the runs through the API as well.
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2 as httpx

from receiver.crypto import signatures
from tests import sandbox_server, server
from tests.bench import resources
from tests.bench.product import SECRET, site
from tests.journeys import posting
from tests.patience import until

#: Seconds between two probes of one kind, and after which the benchmark fails.
PAUSE = 0.02
TIMEOUT = 600.0


@dataclass
class Probe:
    """A kind of request that a thread of its own repeats; `ask` returns the status."""

    name: str
    ask: Callable[[int], int]
    seconds: list[float] = field(default_factory=list)
    others: int = 0
    sent: int = 0

    def run(self, stop: threading.Event) -> None:
        """Repeat the request until stopped."""
        while not stop.wait(PAUSE):
            began = time.perf_counter()
            try:
                self.sent += 1
                self.others += self.ask(self.sent) != 200
            except httpx.HTTPError:
                self.others += 1
            self.seconds.append(time.perf_counter() - began)

    def line(self) -> str:
        """Return the longest latency, with others for comparison."""
        ordered = sorted(self.seconds) or [0.0]
        p50, p99, most = (ordered[int((len(ordered) - 1) * share)] * 1000 for share in (0.5, 0.99, 1.0))
        shown = f"{self.name:24} {len(ordered):6,} sent   p50 {p50:7.1f} ms   p99 {p99:7.1f} ms"
        return f"{shown}   longest {most:8.1f} ms   not 200: {self.others}"


@dataclass
class Memory:
    """Megabytes of a process and all its children, measured repeatedly."""

    pid: int
    most: float = 0.0
    most_with_children: float = 0.0

    def run(self, stop: threading.Event) -> None:
        """Measure until stopped."""
        while not stop.wait(PAUSE):
            own = resources.memory(self.pid)
            self.most = max(self.most, own)
            self.most_with_children = max(
                self.most_with_children, own + sum(map(resources.memory, started_by(self.pid)))
            )


def started_by(pid: int) -> list[int]:
    """Return the processes that a process has started."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += [int(child) for child in (task / "children").read_text().split()]
    return found


@contextlib.contextmanager
def sandbox(size: int) -> Iterator[sandbox_server.Sandbox]:
    """Run a sandbox in a process of its own, whose ended runs have details of `size` bytes."""
    port = server.free_port()
    faults = [f"details_padding={size}", "event_states="]
    options = [part for each in faults for part in ("--fault", each)]
    program = [sys.executable, "-m", "receiver", "sandbox", "--port", str(port), "--run-seconds", "2", *options]
    process = subprocess.Popen(program, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until(lambda: server.listens(port), why="the sandbox did not start")
        yield sandbox_server.Sandbox(f"http://127.0.0.1:{port}")
    finally:
        process.terminate()
        process.wait(60)


def probes(ours: server.Server, stack: contextlib.ExitStack) -> list[Probe]:
    """Return the requests that are repeated during the measurement."""
    kept = stack.enter_context(httpx.Client(base_url=ours.url, **sandbox_server.PLAIN))
    sender = stack.enter_context(httpx.Client(base_url=ours.url, **sandbox_server.PLAIN))
    key = signatures.decode(SECRET).key

    def event(number: int) -> int:
        body, at = posting.event(f"run_{number}", f"evt_{number}"), str(int(time.time()))
        named = {signatures.ID_HEADER: f"dlv_{number}", signatures.TIMESTAMP_HEADER: at}
        signed = {**named, signatures.SIGNATURE_HEADER: signatures.sign(key, f"dlv_{number}", at, body)}
        return sender.post("/webhooks/case", content=body, headers=signed).status_code

    return [
        Probe("/healthz", lambda _: httpx.get(f"{ours.url}/healthz", **sandbox_server.PLAIN).status_code),
        Probe("/healthz, kept open", lambda _: kept.get("/healthz").status_code),
        Probe("a signed event", event),
    ]


def unsettled(ours: server.Server) -> int:
    """Return how many runs are not settled."""
    return int(ours.rows("SELECT count(*) AS n FROM runs WHERE settled_at IS NULL")[0]["n"])


def unindexed(ours: server.Server) -> int:
    """Return how many runs are not indexed."""
    return int(ours.rows("SELECT count(*) AS n FROM search_queue")[0]["n"])


def waited(look: Callable[[], int]) -> float:
    """Wait until `left` returns 0; return the seconds."""
    began = time.monotonic()
    while look() and time.monotonic() - began < TIMEOUT:
        time.sleep(0.2)
    return time.monotonic() - began


def submitted(ours: server.Server, upstream: sandbox_server.Sandbox, count: int) -> list[str]:
    """Submit runs of one agent at once; return their ids."""
    with upstream.client() as api, ours.client() as client:
        agent = sandbox_server.new_agent(api)
        asked = [{"agentId": agent, "prompt": f"Review lease {number}."} for number in range(count)]
        return [client.post("/v1/runs", json=each).raise_for_status().json()["id"] for each in asked]


def read_back(ours: server.Server, runs: list[str]) -> None:
    """Read each run, its steps and its document through the API."""
    with ours.client() as client:
        for run in runs:
            for path in ("", "/steps?limit=100", "/document"):
                answer = client.get(f"/v1/runs/{run}{path}")
                assert answer.status_code == 200, answer.text[:300]


def measure(ours: server.Server, upstream: sandbox_server.Sandbox, args: argparse.Namespace) -> int:
    """Settle the runs while all probes run, and report; return 1 where a run was not settled completely."""
    stop, memory = threading.Event(), Memory(ours.pid)
    with contextlib.ExitStack() as stack:
        asked = probes(ours, stack)
        loads: list[Any] = [memory, *asked]
        threads = [threading.Thread(target=each.run, args=(stop,)) for each in loads]
        for thread in threads:
            thread.start()
        began = resources.memory(ours.pid)
        runs = submitted(ours, upstream, args.runs)
        print(f"{args.runs} answers of {args.size / 1e6:g} MB; {began:.0f} MB of memory before", flush=True)
        report(f"settled after {waited(lambda: unsettled(ours)):.1f} s", asked, memory)
        report(f"indexed after {waited(lambda: unindexed(ours)):.1f} s more", asked, memory)
        if args.read:
            read_back(ours, runs)
            report("read back", asked, memory)
        stop.set()
        for thread in threads:
            thread.join()
    return 0 if settled_whole(ours) == args.runs else 1


def report(phase: str, asked: list[Probe], memory: Memory) -> None:
    """Print what was measured since the last report."""
    most, in_all = memory.most, memory.most_with_children
    print(f"{phase}: {most:.0f} MB of memory at most, with the server's processes {in_all:.0f} MB")
    for each in asked:
        print(each.line(), flush=True)
        each.seconds, each.others = [], 0
    memory.most = memory.most_with_children = 0.0


def settled_whole(ours: server.Server) -> int:
    """Return how many runs were settled from details that could be read."""
    found = ours.rows(
        "SELECT count(*) AS n FROM runs JOIN run_documents ON run_documents.run_id = runs.id "
        "WHERE runs.status = 'completed' AND runs.step_count > 0 AND run_documents.version = 1"
    )
    return int(found[0]["n"])


def main() -> int:
    """Measure and report."""
    parser = argparse.ArgumentParser(prog="make bench-large")
    parser.add_argument("--runs", type=int, default=8)
    parser.add_argument("--size", type=int, default=50_000_000)
    parser.add_argument("--read", action="store_true")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    args = parser.parse_args()
    given: dict[str, Any] = {"webhook_secrets": SECRET, "log_level": "error"}
    timing = {"call": 30.0, "lease": 60.0, "heartbeat": 5.0, "sweep": 5.0, "alive_most": 2.0, "backoff_most": 5.0}
    with (
        sandbox(args.size) as upstream,
        site(args.database) as place,
        server.running(place, upstream.url, timing=timing, **given) as ours,
    ):
        return measure(ours, upstream, args)


if __name__ == "__main__":
    sys.exit(main())
