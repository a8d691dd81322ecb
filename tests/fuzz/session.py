"""`make fuzz MINUTES=n`: hostile values on every surface, alternating between the databases.

Every batch is drawn from a seed, the surface and the number of the batch: `--seed 7 --only events:12` plays that
batch again. After a failure the batch is made smaller, the server gets an empty store, and the session goes on.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import secrets
import sys
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests import postgres
from tests.fuzz import report, surfaces, trial

KINDS = ("sqlite", "postgresql")
REPORT = Path(__file__).parent / "REPORT.md"
#: Where failures are written.
KEPT = Path(__file__).parent.parent.parent / ".fuzz"
#: Seconds on one database before the other one, for making a batch smaller, and inputs kept per failure.
TURN, SMALLER, KEPT_INPUTS = 150.0, 45.0, 3


@dataclass
class Failure:
    """One fault, however often it occurred."""

    surface: str
    batch: int
    kind: str
    finding: trial.Finding
    count: int = 1
    smallest: Sequence[trial.Case] = ()
    is_repeated: bool = False


@dataclass
class Session:
    """What was requested of a session, and its outcome."""

    seed: int
    minutes: float
    only: tuple[str, int | None] | None = None
    failures: dict[str, Failure] = field(default_factory=dict)
    played: dict[tuple[str, str], int] = field(default_factory=dict)
    figures: dict[str, trial.Figures] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def drawn(self, surface: str, batch: int, known: trial.Known, size: int | None = None) -> list[trial.Case]:
        """Return the cases of a batch."""
        draw, usual = surfaces.SURFACES[surface]
        rng = random.Random(f"{self.seed}:{surface}:{batch}")
        return [draw(rng, known) for _ in range(size or usual)]

    async def run_batch(
        self, bench: trial.Bench, surface: str, batch: int, size: int | None = None, *, is_short: bool = False
    ) -> None:
        """Run one batch, and record what is wrong; where it `is_short`, failures are not made smaller."""
        cases = self.drawn(surface, batch, bench.known, size)
        findings = await bench.run_batch(cases)
        key = (bench.kind, surface)
        self.played[key] = self.played.get(key, 0) + len(cases)
        for finding in findings:
            await self._note(bench, surface, batch, finding, [] if is_short else cases)
        if any(finding.case is None or finding.kind == "unsettled" for finding in findings):
            await bench.renew()

    def note_broken(self, kind: str, detail: str) -> None:
        """Record that a server did not start, or that its first runs did not end; the session continues."""
        finding = trial.Finding("start", detail.partition(":")[0][:100], detail)
        known = self.failures.setdefault(f"start {finding.signature}", Failure("start", 0, kind, finding, count=0))
        known.count += 1
        report.keep(KEPT, self.seed, known)
        print(f"\n{kind}: {finding.signature}", file=sys.stderr)

    async def _note(
        self, bench: trial.Bench, surface: str, batch: int, finding: trial.Finding, cases: Sequence[trial.Case]
    ) -> None:
        known = self.failures.get(f"{surface} {finding.signature}")
        if known is not None:
            known.count += 1
            return
        failure = Failure(surface, batch, bench.kind, finding, smallest=[finding.case] if finding.case else cases)
        self.failures[f"{surface} {finding.signature}"] = failure
        print(f"\n{surface}:{batch} on {bench.kind}: {finding.signature}", file=sys.stderr)
        if finding.case is None and len(cases) > 1:
            with contextlib.suppress(AssertionError, OSError):
                await smaller(bench, failure)
        if cases:
            report.keep(KEPT, self.seed, failure)


async def smaller(bench: trial.Bench, failure: Failure) -> None:
    """Search for the one case that shows the failure, on an empty database, while there is time."""
    deadline = time.monotonic() + SMALLER
    candidates = list(failure.smallest)
    while candidates and time.monotonic() < deadline:
        half = candidates[: (len(candidates) + 1) // 2] if len(candidates) > 1 else candidates
        shown = await _shows(bench, half, failure)
        if shown:
            failure.smallest, failure.is_repeated = half, True
        if len(candidates) == 1:
            return
        candidates = half if shown else candidates[len(half) :]


async def _shows(bench: trial.Bench, cases: Sequence[trial.Case], failure: Failure) -> bool:
    await bench.renew()
    fresh = [replace(case, plans=tuple(replace(plan, done=[]) for plan in case.plans)) for case in cases]
    findings = await bench.run_batch(fresh)
    return any(finding.signature == failure.finding.signature for finding in findings)


async def run(session: Session, kinds: Sequence[str]) -> None:
    """Run batches for the requested time, on the databases in turn."""
    begun, turn = time.monotonic(), 0
    batches = dict.fromkeys(surfaces.SURFACES, 0)
    length = min(TURN, session.minutes * 60 / len(kinds))
    async with _cluster(kinds) as cluster:
        while time.monotonic() < begun + session.minutes * 60:
            kind = kinds[turn % len(kinds)]
            until = min(time.monotonic() + length, begun + session.minutes * 60)
            try:
                await _turn(session, kind, turn // len(kinds) % 2 == 1, until, batches, cluster)
            except AssertionError as broken:
                session.note_broken(kind, str(broken))
            turn += 1


async def _turn(
    session: Session,
    kind: str,
    adopt: bool,
    until: float,
    batches: dict[str, int],
    cluster: postgres.Cluster | None,
) -> None:
    """Run batches on one database, which is empty at first, with runs of others adopted or not."""
    begun = time.monotonic()
    async with trial.opened(kind, adopt=adopt, cluster=cluster) as bench:
        bench.figures = session.figures.setdefault(kind, bench.figures)
        while time.monotonic() < until:
            if session.only and session.only[1] is not None:
                await session.run_batch(bench, session.only[0], session.only[1])
                session.minutes = 0.0
                break
            surface = _next(batches, session.only)
            await session.run_batch(bench, surface, batches[surface])
            batches[surface] += 1
            _progress(session, kind)
    session.seconds[kind] = session.seconds.get(kind, 0.0) + time.monotonic() - begun


def _next(batches: dict[str, int], only: tuple[str, int | None] | None) -> str:
    """Return the surface that has had the fewest batches in relation to its weight."""
    if only:
        return only[0]
    return min(batches, key=lambda surface: batches[surface] * surfaces.SELDOM.get(surface, 1))


def _progress(session: Session, kind: str) -> None:
    played = sum(session.played.values())
    print(f"\r{kind}: {played:,} cases, {len(session.failures)} failures ", end="", file=sys.stderr, flush=True)


@contextlib.asynccontextmanager
async def _cluster(kinds: Sequence[str]) -> AsyncIterator[postgres.Cluster | None]:
    if "postgresql" not in kinds:
        yield None
        return
    with postgres.running() as cluster:
        yield cluster


def main() -> int:
    """Run the session and write the report; return the exit code."""
    args = _asked()
    surface, _, number = (args.only or "").partition(":")
    only = (surface, int(number) if number else None) if surface else None
    session = Session(args.seed, args.minutes, only)
    kinds = KINDS if args.database == "both" else (args.database,)
    asyncio.run(run(session, kinds))
    args.report.parent.mkdir(parents=True, exist_ok=True)
    args.report.write_text(report.written(session, kinds))
    print(f"\n{report.summary(session, kinds)}\n\nThe report is {args.report}")
    if session.failures:
        print(f"Inputs are in {KEPT}")
        print(
            json.dumps(
                [f"{each.surface}: {each.finding.signature}" for each in session.failures.values()], indent=1
            )
        )
    return 1 if session.failures else 0


def _asked() -> argparse.Namespace:
    asked = argparse.ArgumentParser(
        prog="python -m tests.fuzz", description="Try hostile values on every surface."
    )
    asked.add_argument("--minutes", type=float, default=5.0)
    asked.add_argument("--seed", type=int, default=secrets.randbits(31))
    asked.add_argument("--database", choices=(*KINDS, "both"), default="both")
    asked.add_argument("--report", type=Path, default=REPORT)
    asked.add_argument("--only", metavar="SURFACE[:BATCH]", help=f"one of {', '.join(surfaces.SURFACES)}")
    return asked.parse_args()
