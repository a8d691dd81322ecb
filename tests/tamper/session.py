"""A session of mutations: each is made in a transaction, looked for, and taken back; then the report."""

from __future__ import annotations

import argparse
import asyncio
import platform
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import create_engine

from receiver.verifier.store import breaks, verification
from storage.engine.database import Database
from storage.migrations import schema_version
from tests import postgres
from tests.tamper import editing, mutations, opened, stores

ROOT = Path(__file__).parent


@dataclass
class Outcome:
    """What became of the mutations of one database."""

    kind: str
    made: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)
    codes: dict[str, Counter[str]] = field(default_factory=dict)
    #: Mutations that were not found, or under another name.
    missed: list[str] = field(default_factory=list)
    misnamed: list[str] = field(default_factory=list)
    tables: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0


def run(url: str, kind: str, count: int, seed: int) -> Outcome:
    """Make `count` mutations of the store at an address, the kinds in turn."""
    outcome, began = Outcome(kind), time.monotonic()
    with opened.connection(url, readonly=False) as connection:
        editor = editing.Editor(connection, seed)
        names, tried = list(mutations.KINDS), 0
        while outcome.made.total() < count:
            name = names[tried // 2 % len(names)] if tried % 2 else "covered columns"
            made = mutations.KINDS[name]
            change = made[(tried // 2) % len(made)] if name == "covered columns" else editor.random.choice(made)
            tried += 1
            assert tried < 5 * count + 500, "most mutations do not apply"
            attempt(outcome, name, change, editor, f"seed {seed}, {kind}, attempt {tried}")
    outcome.seconds = time.monotonic() - began
    return outcome


def attempt(outcome: Outcome, name: str, change: mutations.Kind, editor: editing.Editor, title: str) -> None:
    """Make a mutation, look for it, and take it back."""
    editor.execute("SAVEPOINT untouched")
    _try(outcome, name, change, editor, title)
    editor.execute("ROLLBACK TO SAVEPOINT untouched")


def _try(outcome: Outcome, name: str, change: mutations.Kind, editor: editing.Editor, title: str) -> None:
    try:
        mutation = change(editor)
    except editing.Errors:  # the database refuses it by a constraint
        return
    if mutation is None:
        return
    report = verification.verify(editor.connection, opened.trusted(), mutation.kept)
    outcome.made[name] += 1
    outcome.codes.setdefault(name, Counter()).update(report.breaks_by_code.keys())
    fault = _fault(mutation, report)
    if fault is None:
        outcome.found[name] += 1
    else:
        said = "; ".join(f"{each.code}: {each.sentence}" for each in report.breaks[:3])
        faults = outcome.missed if report.is_ok else outcome.misnamed
        faults.append(f"{title}: {mutation.what}: {fault} ({said or 'nothing was found'})")


def _fault(mutation: mutations.Mutation, report: breaks.Report) -> str | None:
    """Return what is wrong with the report of a mutation; None where it is found and named."""
    if report.is_ok:
        return "not found"
    named = [each for each in report.breaks if each.code in mutation.codes]
    if not named:
        return f"not one of {', '.join(sorted(mutation.codes))}"
    if others := report.counts.keys() - mutation.codes - mutation.also:
        return f"{', '.join(sorted(others))} does not follow from it"
    if mutation.run is not None and not any(each.run == mutation.run for each in report.breaks):
        return f"its run {mutation.run} is not named"
    if mutation.number is not None and not any(each.number == mutation.number for each in named):
        return f"its entry {mutation.number} is not named"
    return None


@contextmanager
def filled(kind: str) -> Iterator[str]:
    """Make a store with everything in it, and return its address."""
    with ExitStack() as stack:
        if kind == "sqlite":
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="runledger-tamper-"))
            url = f"sqlite:///{folder}/runledger.db"
            engine = create_engine(url)
            with engine.begin() as connection:
                schema_version.upgrade(connection)
            engine.dispose()
        else:
            url = stack.enter_context(postgres.running()).fresh()
        asyncio.run(_fill(url))
        assert opened.verified(url).is_ok
        yield url


async def _fill(url: str) -> None:
    async with Database(url) as store:
        await stores.fill(store)


def _run(kind: str, count: int, seed: int) -> Outcome:
    with filled(kind) as url:
        return run(url, kind, count, seed)


def report(outcomes: list[Outcome], seed: int) -> str:
    """Return the report as Markdown."""
    kinds = [each.kind for each in outcomes]
    lines = [
        "# Tampering",
        "",
        _OPENING.format(seed=seed, version=platform.python_version()),
        "",
        "| mutation | " + " | ".join(f"{kind}: found of made" for kind in kinds) + " | codes |",
        "|---|" + "---|" * (len(kinds) + 1),
    ]
    for name in mutations.KINDS:
        counts = " | ".join(f"{each.found[name]:,} of {each.made[name]:,}" for each in outcomes)
        codes = sorted({code for each in outcomes for code in each.codes.get(name, ())})
        lines.append(f"| {name} | {counts} | {', '.join(f'`{code}`' for code in codes)} |")
    totals = " | ".join(f"**{each.found.total():,} of {each.made.total():,}**" for each in outcomes)
    times = ", ".join(f"{each.kind} {each.seconds:,.0f} s" for each in outcomes)
    missed, misnamed = sum(len(each.missed) for each in outcomes), sum(len(each.misnamed) for each in outcomes)
    lines += [
        f"| **all** | {totals} | |",
        "",
        f"Not found: {missed}. Named wrongly: {misnamed}. Time: {times}.",
        "",
    ]
    lines += [_READING]
    lines += [f"- {fault}" for each in outcomes for fault in [*each.missed, *each.misnamed][:50]]
    return "\n".join(lines).rstrip("\n") + "\n"


_OPENING = """`make tamper`, seed {seed}, Python {version}. A small store with a run and a delivery of every
kind is changed behind its back, verified, and restored. A mutation counts as found where the
verifier reports one of the codes that name it, with the run or entry concerned, and no code that
does not follow from it."""
_READING = """What no verifier of the store alone can tell apart is accepted under either name: a salt that was
replaced by another well-formed one is `row_changed` where no other hash of the value is stored,
and a tag that was removed from those of a submission is `row_changed`, since the entry has no
count of them. A column is changed where an entry says something about it; where none does, is in
[the list](../../docs/reference/ledger-coverage.md).
"""


def main(arguments: list[str] | None = None) -> int:
    """Run a session; return the exit code."""
    parser = argparse.ArgumentParser(prog="make tamper")
    parser.add_argument("--count", type=int, default=300, help="mutations of each database")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--database", choices=["sqlite", "postgresql"], action="append")
    parser.add_argument("--report", type=Path)
    given = parser.parse_args(arguments)
    kinds = given.database or ["sqlite", "postgresql"]
    with ProcessPoolExecutor(len(kinds)) as pool:
        outcomes = list(pool.map(_run, kinds, [given.count] * len(kinds), [given.seed] * len(kinds)))
    text = report(outcomes, given.seed)
    print(text)
    if given.report is not None:
        given.report.parent.mkdir(parents=True, exist_ok=True)
        given.report.write_text(text)
    return 1 if any(each.missed or each.misnamed for each in outcomes) else 0
