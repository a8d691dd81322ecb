"""`make bench-ledger`: what it costs to append entries, to sign, to prove one and to verify all.

The product's own functions write the entries, which are as long as those of
deliveries, and in a second store runs with all their rows. ARGS may say `--entries N`,
`--proofs N`, `--runs N`, `--database postgresql`, `--json`, `--report FILE`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from receiver import clock
from receiver.crypto import log_keys
from storage import merkle
from storage.engine import database
from storage.ledger import checkpoints, entries, proofs
from storage.migrations import schema_version
from tests import server
from tests.bench import ended_runs, product, report

#: Entries of one transaction, as many as a full batch of events.
BATCH = 256
SECONDS, RATE = "s", "entries/s"


def entry() -> entries.Entry:
    """Return an entry about no row, of some 400 bytes with two salted digests."""
    digests = merkle.salted_digest("question", "status:failed") + merkle.salted_digest("tags", "{}")
    facts: dict[str, entries.Fact | None] = {
        "bulkId": "019a2f7c-0000-7000-8000-000000000000",
        "action": "refresh",
        "total": 3,
    }
    return entries.Entry(entries.Kind.BULK_REQUESTED, clock.now(), None, "key:backend", facts, digests)


async def fill(store: database.Database, count: int, signer: log_keys.Signer) -> Mapping[str, report.Row]:
    """Append and sign entries; return the rate of each."""
    appended = _Rates()
    for _ in range(0, count, BATCH):
        batch = [entry() for _ in range(BATCH)]
        with appended.of(BATCH):
            await store.write(entries.append, batch)
    while await store.write(entries.number, 500):
        pass
    signed, size = _Rates(), 0

    def sign(text: str) -> list[str]:
        return [signer.line(text)]

    while size < appended.entries:
        end = min(size + checkpoints.BATCH, appended.entries)
        with signed.of(end - size):
            await store.write(checkpoints.sign_next, signer.name, sign, clock.now())
        size = end
    return {
        f"append, {BATCH} a commit": appended.row(),
        f"sign, {checkpoints.BATCH:,} a checkpoint": signed.row(),
    }


@dataclass
class _Rates:
    """Entries per second of each step, and the CPU of all."""

    rates: list[float] = field(default_factory=list)
    entries: int = 0
    cpu: float = 0.0

    @contextmanager
    def of(self, count: int) -> Iterator[None]:
        """Measure a step with so many entries."""
        used, began = time.process_time(), time.perf_counter()
        yield
        self.rates.append(count / (time.perf_counter() - began))
        self.cpu += time.process_time() - used
        self.entries += count

    def row(self) -> report.Row:
        """Return the figures."""
        each = self.cpu / self.entries * 1e6
        return {RATE: report.Figure.of(self.rates), "CPU µs each": report.Figure.of([each])}


async def prove(store: database.Database, count: int, size: int) -> report.Row:
    """Return the milliseconds of proofs of entries in no order, each in a transaction of its own."""
    took: list[float] = []
    for index in random.Random(1).choices(range(size), k=count):
        began = time.perf_counter()
        found = await store.read(proofs.prove, index)
        took.append((time.perf_counter() - began) * 1000)
        assert found is not None
    took.sort()
    return {
        "ms p50": report.Figure.of(took[len(took) // 2 :][:1]),
        "ms p99": report.Figure.of(took[-len(took) // 100 :][:1]),
    }


def verify(site: server.Site) -> tuple[report.Row, str]:
    """Run the command that verifies the whole ledger; return its time and memory, and its verdict.

    The CPU seconds are what it needs on a machine that does nothing else; the beginning of the command is in them.
    """
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", _MEASURED, sys.executable, "-m", "receiver", "ledger", "verify", "--json"],
        env={**os.environ, **site.environment}, capture_output=True, check=True,
    )  # fmt: skip
    verdict = json.loads(done.stdout)
    cpu, kilobytes = map(float, done.stderr.split()[-2:])
    row = {
        SECONDS: report.Figure.of([time.perf_counter() - began]),
        "CPU s": report.Figure.of([cpu]),
        f"{RATE} of CPU": report.Figure.of([verdict["size"] / cpu]),
        "MB": report.Figure.of([kilobytes / 1024]),
    }
    return row, json.dumps(verdict)


#: Runs a command and prints what it has used. It is small itself: a child's memory begins with that of its parent.
_MEASURED = """
import resource, subprocess, sys
code = subprocess.call(sys.argv[1:])
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_utime + used.ru_stime, used.ru_maxrss, file=sys.stderr)
sys.exit(code)
"""


async def measure(site: server.Site, options: argparse.Namespace) -> list[report.Part]:
    """Fill a new store and measure it."""
    signer = log_keys.parse(site.ledger_keys)
    async with database.Database(site.url) as store:
        await store.write(schema_version.upgrade)
        filled = await fill(store, options.entries, signer)
        size = await store.read(entries.last_number) + 1
        proved = await prove(store, options.proofs, size)
    verified, verdict = verify(site)
    return [
        report.Part("Append and sign", filled, [f"{size:,} entries"]),
        report.Part("Proofs", {"one entry": proved}, [f"{options.proofs:,} entries of {size:,}"]),
        report.Part("Verification", {"runledger ledger verify": verified}, [verdict]),
    ]


async def measure_runs(site: server.Site, options: argparse.Namespace) -> list[report.Part]:
    """Fill a new store with runs that have ended, and verify its entries and rows."""
    signer = log_keys.parse(site.ledger_keys)
    async with database.Database(site.url) as store:
        await store.write(schema_version.upgrade)
        await ended_runs.fill(store, options.runs)
        await ended_runs.sign(store, signer.name, lambda text: [signer.line(text)])
    verified, verdict = verify(site)
    title = "Verification of a store of runs"
    return [report.Part(title, {f"{options.runs:,} runs": verified}, [verdict])]


def main(given: Sequence[str] | None = None) -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(prog="make bench-ledger")
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--proofs", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=20_000, help="those of the store whose rows are verified too")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    report.add_argument(parser)
    options = parser.parse_args(given)
    made = report.Report("make bench-ledger", options.database)
    for fill_and_measure in (measure, measure_runs):
        with product.site(options.database) as site:
            made.parts += asyncio.run(fill_and_measure(site, options))
    for part in made.parts:
        print(part.text(), file=sys.stderr if options.json else sys.stdout)
    made.write(options)


if __name__ == "__main__":
    main()
