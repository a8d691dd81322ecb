"""`make bench-pages`: how fast each page is answered and painted, and what following a list costs a browser.

Pages are asked as a browser does, compressed, in turn with the route of the API of that content and, on SQLite,
with Datasette's page on the same file. ARGS may say `--requests N --live SECONDS`, `--only answers,views,live`,
`--database postgresql`, `--without-peers`, or `--store FOLDER`: a file that is built there once and asked again.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import uvloop

from tests import server
from tests.bench import load, product, report, resources
from tests.bench.pages import browser, contents, questions
from tests.bench.query import datasette, store
from tests.browser import chromium

PARTS = ("answers", "views", "live")
#: How often the servers take turns, and the longest that one of them is asked for in a round, in seconds.
ROUNDS, LONGEST = 5, 2.0
#: The port and the process id of Datasette, None where it is not asked.
Peer = tuple[int, int] | None


@dataclass
class Asked:
    """A server with the headers that it is sent, and what it answered to one client and to eight."""

    name: str
    port: int
    pid: int
    paths: Sequence[str]
    headers: str
    one: load.Tally = field(default_factory=load.Tally)
    medians: list[float] = field(default_factory=list)
    cpu: float = 0.0
    rate: float = 0.0

    def ask(self, requests: int, connections: int) -> tuple[load.Tally, float]:
        """Send the requests over several connections."""
        repeated = [self.paths[at % len(self.paths)] for at in range(requests)]
        heads = [f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n{self.headers}\r\n".encode() for path in repeated]
        return uvloop.run(load.run(self.port, heads, connections))

    def take_turn(self, requests: int) -> None:
        """Ask with one client, after a request that does not count."""
        first, seconds = self.ask(1, 1)
        if first.others:
            self.one.others += 1
            return
        before = resources.cpu_seconds(self.pid)
        tally, _ = self.ask(max(1, min(requests, int(LONGEST / seconds))), 1)
        self.cpu += resources.cpu_seconds(self.pid) - before
        self.one.seconds += tally.seconds
        self.one.others += tally.others
        self.medians.append(tally.percentile(0.5))

    def figures(self) -> report.Row:
        """Return the figures of all turns."""
        if self.one.others or not self.medians:
            return {}
        values = {
            "p50 ms": self.medians,
            "p99 ms": [self.one.percentile(0.99)],
            "CPU ms": [self.cpu / len(self.one.seconds) * 1000],
            **({"8 clients/s": [self.rate]} if self.rate else {}),
        }
        return {f"{self.name} {column}": report.Figure.of(each) for column, each in values.items()}


def answers(
    ours: product.Product, cookie: str, asked: Mapping[str, questions.Question], requests: int, peer: Peer
) -> report.Part:
    """Ask each page, its route and Datasette in turn."""
    rows = {}
    for name, question in asked.items():
        servers = _servers(ours, cookie, question, peer)
        rows[name] = {**_in_turn(servers, requests), **_size(ours, servers[0])}
        print(name, *(f"{column} {figure}" for column, figure in rows[name].items()), sep="   ", flush=True)
    return report.Part("Pages beside routes of the API, and beside Datasette", rows)


def _servers(ours: product.Product, cookie: str, question: questions.Question, peer: Peer) -> list[Asked]:
    partial = "hx-request: true\r\n" if question.is_partial else ""
    page = f"{partial}cookie: runledger_session={cookie}\r\naccept: text/html\r\naccept-encoding: gzip\r\n"
    route = f"authorization: Bearer {ours.key}\r\naccept-encoding: gzip\r\n"
    servers = [Asked("page", ours.port, ours.pid, question.page, page)]
    if question.route:
        servers.append(Asked("API", ours.port, ours.pid, question.route, route))
    if peer is not None and question.table:
        servers.append(Asked("Datasette", *peer, question.table, "accept: text/html\r\n"))
    return servers


def _in_turn(servers: Sequence[Asked], requests: int) -> dict[str, report.Figure]:
    for _ in range(ROUNDS):
        for each in servers:
            each.take_turn(max(1, requests // ROUNDS))
    for each in servers[:2]:
        tally, seconds = each.ask(max(8, requests // 2), 8)
        each.rate = len(tally.seconds) / seconds
    return {column: figure for each in servers for column, figure in each.figures().items()}


def _size(ours: product.Product, asked: Asked) -> report.Row:
    """Return the kilobytes of an answer, compressed and plain."""
    headers = dict(line.split(": ", 1) for line in asked.headers.splitlines())
    with ours.client() as client:
        answer = client.get(asked.paths[0], headers=headers)
    sizes = {"kB compressed": answer.num_bytes_downloaded, "kB plain": len(answer.content)}
    return {name: report.Figure.of([size / 1e3]) for name, size in sizes.items()}


def run(place: server.Site, args: argparse.Namespace) -> list[report.Part]:
    """Build the database, serve it, and measure the parts that are asked for."""
    store.prepare(place, args.rows)
    large_run = asyncio.run(contents.add(place, args.rows, args.steps))
    parts = []
    with product.running(place) as running:
        cookie = browser.session_cookie(running)
        if "answers" in args.only:
            asked = questions.table(args.rows, large_run)
            has_peer = args.database == "sqlite" and args.peers
            with datasette.serving(place.folder / "runledger.db") if has_peer else nullcontext() as peer:
                parts.append(answers(running, cookie, asked, args.requests, peer))
        if not any(map(shutil.which, chromium.PROGRAMS)):
            print(chromium.ABSENT)
            return parts
        if "views" in args.only:
            paths = {"/": "/", "/runs": "/runs", questions.LARGE: f"/runs/{large_run}"}
            parts.append(browser.first_views(running, cookie, paths))
        if "live" in args.only:
            parts.append(browser.followed(running, cookie, args.live))
    return parts


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Return what is measured."""
    parser = argparse.ArgumentParser(prog="make bench-pages")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--steps", type=int, default=contents.STEPS, help=argparse.SUPPRESS)
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--live", type=int, default=60, metavar="SECONDS")
    parser.add_argument("--only", type=lambda text: text.split(","), default=PARTS, metavar=",".join(PARTS))
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--without-peers", dest="peers", action="store_false")
    parser.add_argument("--store", type=Path)
    report.add_argument(parser)
    return parser.parse_args(arguments)


def main() -> int:
    """Report; return 1 where a page was not answered."""
    args = options()
    made = report.Report(f"make bench-pages ROWS={args.rows}", args.database)
    if args.store:
        args.store.mkdir(parents=True, exist_ok=True)
    with nullcontext(server.Site(args.store)) if args.store else product.site(args.database) as place:
        made.parts += run(place, args)
    for part in made.parts:
        print(part.text())
    made.write(args)
    missing = [name for part in made.parts for name, row in part.rows.items() if not row]
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
