"""What the demo shows at its end: runs, deliveries, sums, and what to type next."""

from __future__ import annotations

import os.path
import shlex
import shutil
import sys
from collections.abc import Mapping

from rich.text import Text

from receiver import escaped, shapes
from receiver.api import runs, stats
from receiver.cli import asking, casework, figures, lines, opening, rehearsal, staging, tables
from storage import deliveries

#: What the demo has to say of each verdict.
_WHY = {
    ("watcher", "accepted"): "the upstream called back",
    ("watcher", "duplicate"): "it called back twice: nothing changed",
    ("watcher", "rejected"): "an address that was never given out",
    ("platform", "accepted"): "events whose signature holds",
    ("platform", "duplicate"): "an event that was known",
    ("platform", "rejected"): "an event with a forged signature",
}


async def tell_programs(stage: staging.Stage) -> None:
    """Prints the runs alone, an object a line."""
    async with opening.existing(stage.given) as store:
        page = await asking.ask(store, runs.list_runs, shapes.Runs, query=shapes.RunQuery(sort="accepted"))
    for run in page.runs:
        print(escaped.one_line(run.model_dump_json(by_alias=True)))


async def tell(stage: staging.Stage, played: rehearsal.Played, *, serving: bool) -> None:
    """Prints it all."""
    async with opening.existing(stage.given) as store:
        page = await asking.ask(store, runs.list_runs, shapes.Runs, query=shapes.RunQuery(sort="accepted"))
        counts = await store.read(deliveries.verdicts)
        sums = await asking.ask(store, stats.get_stats, shapes.Stats, query=shapes.StatsQuery(by="model"))
    out = tables.console()
    out.print(f"{len(page.runs)} runs submitted, and every one settled, in {played.seconds:.1f} s.\n")
    lines.runs(page.runs, "Runs")
    out.print()
    _deliveries(counts)
    out.print()
    lines.stats(sums, "By model")
    out.print()
    _next(stage, played, serving=serving)


def _deliveries(counts: Mapping[tuple[str, str], int]) -> None:
    columns = (
        tables.Column("verdict"),
        tables.Column("road"),
        tables.Column("count", right=True),
        tables.Column("because", 1, flexible=True),
    )
    rows = [
        (tables.state(verdict), road, figures.count(number), _WHY.get((road, verdict), ""))
        for (road, verdict), number in sorted(counts.items(), key=lambda item: item[0][::-1])
        if number
    ]
    tables.show(columns, rows, "Deliveries")


def _next(stage: staging.Stage, played: rehearsal.Played, *, serving: bool) -> None:
    """Lines that work as they stand, in the folder where the demo was started."""
    out = tables.console()
    out.print(Text("Now type" + (" (in another terminal; Ctrl-C ends the demo)" if serving else ""), "bold"))
    program = f"RUNLEDGER_DATA_DIR={shlex.quote(opening.short(stage.given.data_dir))} {_program()}"
    swept, failed = played.run(casework.UNHEARD), played.run(casework.FAILING[0])
    typed = [
        f"{program} show {failed}",
        f"{program} timeline {swept}",
        f"{program} runs --cost '>0.10' --sort -cost",
        f"{program} deliveries --verdict rejected",
    ]
    if serving:
        typed += [
            f"{program} submit --agent {played.agent} --prompt 'Summarise the lease.' --wait 20",
            f"curl -s -H 'Authorization: Bearer {stage.key}' '{stage.server}/v1/runs?status=failed'",
        ]
    for line in typed:
        print(f"  {line}")


def _program() -> str:
    """This program, as it was called."""
    called = sys.argv[0]
    if os.path.basename(called) != "runledger":
        return f"{shlex.quote(sys.executable)} -m receiver"
    found = shutil.which("runledger")
    if found and os.path.exists(called) and os.path.samefile(found, called):
        return "runledger"
    return shlex.quote(opening.short(called))
