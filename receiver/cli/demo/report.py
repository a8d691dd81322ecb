"""What the demo shows at its end: runs, deliveries, sums, and commands to type next."""

from __future__ import annotations

import os.path
import shlex
import shutil
import sys
from collections.abc import Mapping

from rich.text import Text

from receiver.api import runs, stats
from receiver.cli import local_api, open_database
from receiver.cli.demo import submissions
from receiver.cli.demo.backend import Played
from receiver.cli.demo.environment import DemoEnvironment
from receiver.cli.render import format as render_format
from receiver.cli.render import json_lines, lists, table, terminal
from receiver.schemas import query_parameters, responses
from storage.engine import database
from storage.repositories import deliveries

#: A remark for each source and verdict.
_REMARKS = {
    ("watcher", "accepted"): "the upstream called back",
    ("watcher", "duplicate"): "it called back twice: nothing changed",
    ("watcher", "rejected"): "an address that does not exist",
    ("platform", "accepted"): "events whose signature verifies",
    ("platform", "duplicate"): "an event that was known",
    ("platform", "rejected"): "an event with a forged signature",
}
_COLUMNS = (
    table.Column("verdict"),
    table.Column("source"),
    table.Column("count", right=True),
    table.Column("because", 1, flexible=True),
)


async def print_runs(servers: DemoEnvironment) -> None:
    """Print the runs alone, an object a line."""
    async with open_database.existing(servers.given) as store:
        for run in await _runs(store):
            json_lines.model(run)


async def _runs(store: database.Database) -> list[responses.RunLine]:
    page = await local_api.ask(
        store, runs.list_runs, responses.Runs, query=query_parameters.RunQuery(sort="accepted")
    )
    return list(page.runs)


async def show(servers: DemoEnvironment, played: Played, *, stays: bool) -> None:
    """Print runs, deliveries, sums, and commands that the operator may type."""
    async with open_database.existing(servers.given) as store:
        found = await _runs(store)
        counts = await store.read(deliveries.count_by_verdict)
        sums = await local_api.ask(
            store, stats.get_stats, responses.Stats, query=query_parameters.StatsQuery(by="model")
        )
    print(f"{len(found)} runs submitted, and every one settled, in {played.seconds:.1f} s.\n")
    lists.runs(found, "Runs")
    print()
    _show_deliveries(counts)
    print()
    lists.stats(sums, "By model")
    print()
    _show_commands(servers, played, stays=stays)


def _show_deliveries(counts: Mapping[tuple[str, str], int]) -> None:
    rows = [
        (table.state(verdict), source, render_format.count(count), _REMARKS.get((source, verdict), ""))
        for (source, verdict), count in sorted(counts.items(), key=lambda item: item[0][::-1])
        if count
    ]
    table.show(_COLUMNS, rows, "Deliveries")


def _show_commands(servers: DemoEnvironment, played: Played, *, stays: bool) -> None:
    """Print commands that work as they are, in the folder where the demo was started."""
    where = " (in another terminal; Ctrl-C ends the demo)" if stays else ""
    terminal.console().print(Text(f"Now type{where}", "bold"))
    folder = shlex.quote(open_database.short_path(servers.given.data_dir))
    program = f"RUNLEDGER_DATA_DIR={folder} {_program()}"
    swept, failed = played.run(submissions.SILENT), played.run(submissions.FAILING[0])
    commands = [
        f"{program} show {failed}",
        f"{program} timeline {swept}",
        f"{program} runs --cost '>0.10' --sort -cost",
        f"{program} deliveries --verdict rejected",
    ]
    if stays:
        commands += [
            f"{program} submit --agent {played.agent} --prompt 'Summarise the lease.' --wait 20",
            f"curl -s -H 'Authorization: Bearer {servers.key}' '{servers.server}/v1/runs?status=failed'",
        ]
    for command in commands:
        print(f"  {command}")


def _program() -> str:
    """Return this program, as it was called."""
    called = sys.argv[0]
    if os.path.basename(called) != "runledger":
        return f"{shlex.quote(sys.executable)} -m receiver"
    found = shutil.which("runledger")
    if found and os.path.exists(called) and os.path.samefile(found, called):
        return "runledger"
    return shlex.quote(open_database.short_path(called))
