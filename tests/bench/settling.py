"""Finished runs stored, searchable and summed up per second, live through the worker.

A callback for each run is sent at once; the worker fetches the details over a socket. The clock stops when the
last run is stored and its words are indexed. Beside it a script writes the same rows and words with sqlite3.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import uvloop

from receiver.crypto import tokens
from storage.stats import rollups
from tests import server
from tests.bench import commits, load, product, raw, resources, upstream
from tests.bench.options import Options
from tests.bench.report import Figure, Part, Row, ratio

#: Kilobytes of a document, and which part of the runs is stored with it.
SIZES = {5: 1.0, 40: 0.2, 200: 0.05}
#: Rounds are few, since each grows the database.
MOST_ROUNDS = 3
#: No sweep may settle a run before its callback.
SETTINGS = {"sweep_seconds": 86400}
_STORED = "SELECT count(*) AS n FROM runs WHERE settled_at IS NOT NULL"
_WAITING = "SELECT count(*) AS n FROM search_queue"
_FOUND = {
    "callbacks": "SELECT count(*) AS n FROM deliveries WHERE verdict = 'accepted'",
    "completed": "SELECT count(*) AS n FROM runs WHERE status = 'completed'",
    "documents": "SELECT count(DISTINCT run_id) AS n FROM run_documents WHERE parse_error IS NULL",
    "searchable": "SELECT count(DISTINCT id / 65536) AS n FROM passages",
    "summed": "SELECT coalesce(sum(runs), 0) AS n FROM rollup_sums "
    f"WHERE dimension = '{rollups.Dimension.ALL.value}' AND span = 'day' AND status = 'completed'",
}


@dataclass
class Settling:
    """The rounds of one size of document, and what they showed."""

    ours: product.Product
    copy: raw.Copy | None
    count: int
    accepted: int = 0
    rates: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    copied: list[float] = field(default_factory=list)

    def round(self) -> None:
        """Settle runs, then copy what was stored."""
        runs = product.add_running(self.ours.site, self.count)
        requests = load.callbacks(tokens.Signer([self.ours.site.secret_keys]), runs)
        used, began = resources.cpu_seconds(self.ours.pid), time.perf_counter()
        tally, _ = uvloop.run(load.run(self.ours.port, requests, 8))
        self.accepted += len(tally.seconds)
        self._wait(began + 60 + self.count)
        self.rates.append(self.count / (time.perf_counter() - began))
        self.cpu.append((resources.cpu_seconds(self.ours.pid) - used) / self.count * 1000)
        if self.copy is not None:
            self.copied.append(self.count / self.copy.write([run.id for run in runs]))

    def _wait(self, deadline: float) -> None:
        """Wait until all runs are stored and searchable; what is missing then is seen in the counts."""
        while time.perf_counter() < deadline:
            if self.ours.rows(_STORED)[0]["n"] >= self.accepted and not self.ours.rows(_WAITING)[0]["n"]:
                return
            time.sleep(0.05)

    def found(self) -> Mapping[str, int]:
        """Return how many runs each part of the database has."""
        return {name: int(self.ours.rows(query)[0]["n"]) for name, query in _FOUND.items()}


def run(new_site: product.NewSite, options: Options) -> list[Part]:
    """Measure each size of document."""
    return [_settle(new_site(), options, size, max(1, int(options.runs * part))) for size, part in SIZES.items()]


def _settle(site: server.Site, options: Options, size: int, count: int) -> Part:
    title, rounds = f"Settle: documents of {size} kB", min(options.rounds, MOST_ROUNDS)
    with (
        tempfile.TemporaryDirectory() as folder,
        upstream.running(size * 1000) as address,
        product.running(site, address, **SETTINGS) as ours,
    ):
        copy = None if site.database_url else raw.Copy(Path(folder) / "raw.db", site.folder / "runledger.db")
        settling, before = Settling(ours, copy, count), commits.read(ours)
        for number in range(rounds + 1):
            print(f"\r{title}: round {number} of {rounds}", end="", file=sys.stderr, flush=True)
            settling.round()
        print(file=sys.stderr)
        return _part(title, settling, commits.between(before, commits.read(ours)), count * (rounds + 1))


def _part(title: str, settling: Settling, histogram: commits.Histogram, sent: int) -> Part:
    rows: dict[str, Row] = {
        "Runledger": {
            "runs/s": Figure.of(settling.rates[1:]),
            "CPU ms a run": Figure.of(settling.cpu[1:]),
            "p99 of commits ms": commits.quantile(histogram, 0.99),
            "longest commit ms": commits.quantile(histogram, 1.0),
            "MB afterwards": Figure.of([resources.memory(settling.ours.pid)]),
        }
    }
    found = settling.found()
    notes = ["the ranges of commits are those of a histogram's bucket"]
    notes.append(f"found in the database: {', '.join(f'{name} {n:,}' for name, n in found.items())}")
    if settling.copied:
        rows["raw sqlite3"] = {"runs/s": Figure.of(settling.copied[1:])}
        notes.append(f"{ratio(rows, 'Runledger', 'raw sqlite3', 'runs/s')}, where rows and words are ready-made")
    else:
        notes.append("raw sqlite3 is measured beside SQLite only")
    # One count that differs means that something acknowledged is missing.
    stored = next((n for n in found.values() if n != settling.accepted), settling.accepted)
    return Part(title, rows, notes, settling.accepted, stored, sent - settling.accepted)
