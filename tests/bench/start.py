"""`make bench-start`: what a start, a command and a server at rest cost, beside a server that does nothing.

Each figure is a median, with the least and the greatest. CPU time says more than elapsed time on a busy machine.
ARGS may say `--rows N`, `--rounds N`, `--idle SECONDS`, or `--store FOLDER`: a file that is built there once.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import astuple, dataclass
from pathlib import Path

from tests import server
from tests.bench import report, resources
from tests.bench.query import store
from tests.patience import until

#: The peer: uvicorn and starlette with one route, and nothing else.
PEER = """
import sys, uvicorn
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route
app = Starlette(routes=[Route("/", lambda request: Response("ok"))])
uvicorn.run(app, port=int(sys.argv[1]), log_config=None, access_log=False, ws="none")
"""


@dataclass(frozen=True)
class Service:
    """A server: its seconds and CPU seconds until it listens; its MB of memory and per cent of a core at rest."""

    seconds: float
    cpu: float
    memory: float
    share: float


@dataclass(frozen=True)
class Command:
    """A command that ended: its seconds and its CPU seconds."""

    seconds: float
    cpu: float


def serve(arguments: Sequence[str], port: int, environment: Mapping[str, str], idle: float) -> Service:
    """Start a server, leave it alone for `idle` seconds after ten that settle it, and stop it."""
    begun = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *arguments], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        until(lambda: server.listens(port), why="the server did not start")
        seconds, cpu = time.perf_counter() - begun, resources.cpu_seconds(process.pid)
        time.sleep(10)
        before = resources.cpu_seconds(process.pid)
        time.sleep(idle)
        return Service(
            seconds, cpu, resources.memory(process.pid), 100 * (resources.cpu_seconds(process.pid) - before) / idle
        )
    finally:
        process.terminate()
        process.wait()


def run(arguments: Sequence[str], environment: Mapping[str, str]) -> Command:
    """Run a command to its end."""
    begun, hidden = time.perf_counter(), subprocess.DEVNULL
    process = subprocess.Popen([sys.executable, *arguments], env=environment, stdout=hidden, stderr=hidden)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, f"{arguments} failed"
    return Command(time.perf_counter() - begun, used.ru_utime + used.ru_stime)


def row(names: Sequence[str], samples: Sequence[Service | Command]) -> report.Row:
    """Return each figure of the samples by its name."""
    columns = zip(*map(astuple, samples), strict=True)
    return {name: report.Figure.of(values) for name, values in zip(names, columns, strict=True)}


def compare(place: server.Site, rounds: int, idle: float) -> list[report.Part]:
    """Measure ours and the peer in turn."""
    environment = {name: each for name, each in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment |= place.environment | {
        "CASEDEV_API_KEY": "sk_case_bench",
        "CASEDEV_BASE_URL": "http://127.0.0.1:9",
    }

    def ours(*words: str) -> list[str]:
        return ["-m", "receiver", *words]

    commands: dict[str, list[str]] = {
        "runledger runs": ours("runs"),
        "runledger runs --json": ours("runs", "--json"),
        "runledger --help": ours("--help"),
        "python alone": ["-c", "pass"],
    }
    servers: dict[str, Callable[[str], list[str]]] = {
        "runledger serve": lambda port: ours("serve", "--port", port),
        "uvicorn and starlette alone": lambda port: ["-c", PEER, port],
    }
    for arguments in commands.values():
        run(arguments, environment)  # writes the bytecode
    ended = [{name: run(arguments, environment) for name, arguments in commands.items()} for _ in range(rounds)]
    served = [
        {name: serve(made(str(port)), port, environment, idle) for name, made in servers.items()}
        for port in (server.free_port() for _ in range(rounds))
    ]
    of_commands = {name: row(("s", "CPU s"), [each[name] for each in ended]) for name in commands}
    columns = ("s to listen", "CPU s", "MB", "% CPU at rest")
    of_servers = {name: row(columns, [each[name] for each in served]) for name in servers}
    return [report.Part("Commands", of_commands), report.Part("Start and rest", of_servers)]


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(prog="make bench-start")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--idle", type=float, default=20)
    parser.add_argument("--store", type=Path)
    report.add_argument(parser)
    args = parser.parse_args()
    made = report.Report("make bench-start")
    if args.store:
        args.store.mkdir(parents=True, exist_ok=True)
    with nullcontext(args.store) if args.store else tempfile.TemporaryDirectory() as folder:
        place = server.Site(Path(folder))
        store.prepare(place, args.rows)
        made.parts += compare(place, args.rounds, args.idle)
    for part in made.parts:
        print(part.text())
    made.write(args)


if __name__ == "__main__":
    main()
