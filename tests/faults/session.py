"""`make faults KILLS=n`: random SIGKILLs under load on either database, a verdict, and a report.

Real servers in processes of their own, three replicas on PostgreSQL and one process on SQLite, behind one
address; the sandbox as a process with moderate faults. The seed determines every choice. The exit code is 1 where
anything was lost, doubled, left over or wrong.
"""

from __future__ import annotations

import argparse
import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvloop

from tests import postgres, server
from tests.faults import judge, outcomes, report, trial

#: How many servers share a database.
REPLICAS = {"sqlite": 1, "postgresql": 3}
REPORT = Path(__file__).parent / "REPORT.md"
#: Where logs, and the file of an embedded database, are kept if something was found.
KEPT = report.ROOT / ".faults"


def main() -> int:
    """Run the trials, judge them, write the report; return the exit code."""
    args = _asked()
    kinds = list(REPLICAS) if args.database == "both" else [args.database]
    result = report.SessionResult(args.seed, args.kills, args.database)
    for number, kind in enumerate(kinds):
        kills = (args.kills + number) // len(kinds)
        with _site(kind) as site:
            result.outcomes.append(uvloop.run(_played(kind, site, kills, args.seed)))
    args.report.parent.mkdir(parents=True, exist_ok=True)
    args.report.write_text(report.written(result))
    print(report.summary(result))
    print(f"The report is {args.report}")
    for each in result.findings:
        print(each, file=sys.stderr)
    return 1 if result.findings else 0


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description="Kill at random, and judge.")
    parser.add_argument("--kills", type=int, default=200, help="in total, divided between the databases")
    parser.add_argument("--seed", type=int, default=secrets.randbits(31))
    parser.add_argument("--database", choices=(*REPLICAS, "both"), default="both")
    parser.add_argument("--report", type=Path, default=REPORT)
    return parser.parse_args()


@contextmanager
def _site(kind: str) -> Iterator[server.Site]:
    """Return a site with a fresh database."""
    with tempfile.TemporaryDirectory(prefix=f"runledger-faults-{kind}-") as folder:
        if kind == "sqlite":
            yield server.Site(Path(folder))
            return
        with postgres.running() as cluster:
            yield server.Site(Path(folder), cluster.fresh())


async def _played(kind: str, site: server.Site, kills: int, seed: int) -> outcomes.Outcome:
    async with trial.started(kind, site, REPLICAS[kind], seed) as played:
        await played.play(kills)
        recorded = judge.ClientRecords(
            played.submissions,
            played.receipts,
            played.journal.acknowledged,
            played.sandbox.runs(),
            [*played.tally.unexpected, *played.journal.unexpected],
            [
                *played.killer.unexpected,
                *(f"in the log: {each}" for each in sorted(played.log_problems()) if _is_bug(each)),
            ],
        )
        findings = judge.judge(played.rows, recorded)
        if findings.all:
            shutil.copytree(site.folder, KEPT / kind, dirs_exist_ok=True)
        return outcomes.read(played, findings)


def _is_bug(entry: str) -> bool:
    """Return whether a log entry shows an unexpected failure."""
    return entry.startswith(("error", "critical")) and entry != "error delivery_commit_failed"
