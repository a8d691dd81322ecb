"""`make bench-query`: how long a database of ROWS runs takes to build, and how fast it answers over HTTP.

The server is the real one in a process of its own, asked over loopback by one client, then by eight. On SQLite a
bare Starlette over sqlite3 answers from the same file, and Datasette where it can be installed. ARGS may
say `--requests N --database postgresql`, or `--store FOLDER`: a file that is built there once and asked again.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import uvloop
from sqlalchemy import create_engine

from storage import cursors
from tests import server
from tests.bench import load, product, report, rounds
from tests.bench.query import datasette, store

Questions = Mapping[str, Sequence[str]]


def ours(count: int, texts: store.Texts) -> Questions:
    """Return the paths of each query, varied where that matters."""
    agents = [f"agent_{number}" for number in range(0, store.AGENTS, 3)]
    deep = [cursors.Cursor("-accepted", None, count * part // 20 + 1) for part in range(2, 18)]
    return {
        "newest list": ["/v1/runs"],
        "deep page": [f"/v1/runs?cursor={each}" for each in deep],
        "agent + state": [f"/v1/runs?agent={each}&status=failed" for each in agents],
        "agent alone": [f"/v1/runs?agent={each}" for each in agents],
        "tag": [f"/v1/runs?tag.client=client_{number}" for number in range(0, store.CLIENTS, 9)],
        "cost order": ["/v1/runs?sort=-cost"],
        "rare word": ["/v1/runs?q=zyzzyva"],
        "common word": [f"/v1/runs?q={texts.common}"],
        "phrase": [f"/v1/runs?q={quote(chr(34) + texts.phrase + chr(34))}"],
        "stats by day": ["/v1/stats?by=day"],
        "stats by model": ["/v1/stats?by=model"],
        "stats by agent, percentiles": ["/v1/stats?by=agent"],
        "run": [f"/v1/runs/{store.id_of(1 + count * part // 20)}" for part in range(19)],
        "its steps": [f"/v1/runs/{store.id_of(1 + count * part // 20)}/steps" for part in range(19)],
    }


def bare(count: int, texts: store.Texts) -> Questions:
    """Return the paths of the peer, for the queries that it supports."""
    return {
        "newest list": ["/newest"],
        "deep page": [f"/deep?seq={count * part // 20 + 1}" for part in range(2, 18)],
        "agent + state": [f"/agent?q=agent_{number}" for number in range(0, store.AGENTS, 3)],
        "tag": [f"/tag?q=client_{number}" for number in range(0, store.CLIENTS, 9)],
        "cost order": ["/cost"],
        "rare word": ["/word?q=zyzzyva"],
        "common word": [f"/word?q={texts.common}"],
        "phrase": [f"/word?q={quote(chr(34) + texts.phrase + chr(34))}"],
        "its steps": [f"/steps?seq={1 + count * part // 20}" for part in range(19)],
    }


def ask(port: int, paths: Sequence[str], requests: int, key: str, connections: int) -> tuple[load.Tally, float]:
    """Send the requests over several connections; stop after five seconds of one query."""
    heads = [
        f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {key}\r\n\r\n".encode() for path in paths
    ]
    first, seconds = uvloop.run(load.run(port, heads[:1], 1))
    most = max(len(heads), int(5 / max(seconds, 0.001)))
    repeated = [heads[number % len(heads)] for number in range(min(requests, most))]
    return uvloop.run(load.run(port, repeated, connections)) if first.seconds else (first, seconds)


def measured(name: str, port: int, questions: Questions, requests: int, key: str = "-") -> report.Part:
    """Run each query and print a line of it; return the figures by query."""
    print(f"\n{name:30}      p50 ms      p99 ms    8 clients/s")
    rows: dict[str, report.Row] = {}
    for question, paths in questions.items():
        one, _ = ask(port, paths, requests, key, 1)
        if one.others or not one.seconds:
            print(f"{question:30} not answered by 2xx ({one.others} of {one.others + len(one.seconds)})")
            continue
        many, seconds = ask(port, paths, requests, key, 8)
        p50, p99, rate = one.percentile(0.5), one.percentile(0.99), len(many.seconds) / seconds
        figures = {"p50 ms": p50, "p99 ms": p99, "8 clients/s": rate}
        rows[question] = {column: report.Figure.of([value]) for column, value in figures.items()}
        print(f"{question:30} {p50:11.2f} {p99:11.2f} {rate:14,.0f}", flush=True)
    return report.Part(name, rows)


def exported(running: server.Server) -> str:
    """Return a sentence with the rows per second of an export, of its first twenty seconds."""
    begun, lines = time.perf_counter(), 0
    with running.client() as client, client.stream("GET", "/v1/export") as answer:
        for line in answer.raise_for_status().iter_lines():
            lines += bool(line)
            if time.perf_counter() - begun > 20:
                break
    return f"export: {lines / (time.perf_counter() - begun):,.0f} rows/s"


def compare_peers(path: Path, count: int, requests: int, measures: report.Part) -> list[report.Part]:
    """Run the peers on the same file, and print our medians relative to the bare one's."""
    texts = store.Texts()
    with rounds.peer("query.peer", str(path)) as (port, _):
        peer = measured("bare Starlette over sqlite3", port, bare(count, texts), requests)
    shared = [name for name in peer.rows if name in measures.rows]
    ratios = [f"{name} {_p50(measures, name) / _p50(peer, name):.1f}" for name in shared]
    peer = replace(peer, notes=[f"Runledger is so many times its p50: {', '.join(ratios)}"])
    print(*peer.notes)
    with datasette.serving(path) as found:
        if found is None:
            return [peer]
        return [peer, measured("Datasette", found[0], datasette.questions(count, texts), min(requests, 100))]


def _p50(part: report.Part, question: str) -> float:
    return part.rows[question]["p50 ms"].median


def run(place: server.Site, count: int, requests: int, *, peers: bool) -> list[report.Part]:
    """Build the database, serve it and run the queries; return our figures, and those of the peers."""
    store.prepare(place, count)
    if place.database_url:
        analysed = create_engine(place.url, isolation_level="AUTOCOMMIT")
        with analysed.connect() as connection:
            connection.exec_driver_sql("VACUUM ANALYZE")
        analysed.dispose()
    with product.running(place) as running:
        measures = measured("Runledger", running.port, ours(count, store.Texts()), requests, running.key)
        measures = replace(measures, notes=[exported(running)])
        print(*measures.notes)
        if not peers or place.database_url:
            return [measures]
        return [measures, *compare_peers(place.folder / "runledger.db", count, requests, measures)]


def main() -> int:
    """Report; return 1 where a query was not answered."""
    parser = argparse.ArgumentParser(prog="make bench-query")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--requests", type=int, default=400)
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--store", type=Path)
    report.add_argument(parser)
    args = parser.parse_args()
    made = report.Report(f"make bench-query ROWS={args.rows}", args.database)
    if args.store:
        args.store.mkdir(parents=True, exist_ok=True)
    with nullcontext(server.Site(args.store)) if args.store else product.site(args.database) as place:
        made.parts += run(place, args.rows, args.requests, peers=True)
    made.write(args)
    return 0 if len(made.parts[0].rows) == len(ours(args.rows, store.Texts())) else 1


if __name__ == "__main__":
    sys.exit(main())
