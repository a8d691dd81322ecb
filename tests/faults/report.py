"""The report: what was done, what was found, and the raw counts, as Markdown."""

from __future__ import annotations

import os
import platform
import subprocess
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults import judge, killing, outcomes, sending, submitting, trial, upstream

ROOT = Path(__file__).parent.parent.parent


@dataclass
class SessionResult:
    """What was requested of a session, and its outcomes."""

    seed: int
    kills: int
    database: str
    outcomes: list[outcomes.Outcome] = field(default_factory=list)

    @property
    def findings(self) -> list[str]:
        """Return every finding on any database."""
        return [f"{each.kind}: {found}" for each in self.outcomes for found in each.findings.all]


def written(result: SessionResult) -> str:
    """Return the report."""
    return "\n".join(
        [
            _opening(result),
            summary(result),
            "",
            _wrapped(_READING),
            "",
            _sources(result),
            _findings(result),
            _raw(result),
        ]
    )


def summary(result: SessionResult) -> str:
    """Return the summary, a table with a column per database."""
    lines = [["", *(_name(each) for each in result.outcomes)]]
    for name, count in _FOUND.items():
        lines.append([f"**{name}**", *(f"**{count(each.findings)}**" for each in result.outcomes)])
    lines += [[name, *(each.facts[name] for each in result.outcomes)] for name in result.outcomes[0].facts]
    return _table(lines)


_FOUND: dict[str, Callable[[judge.Findings], int]] = {
    "lost": lambda found: len(found.lost),
    "doubled": lambda found: len(found.doubled),
    "leftovers upstream, not linked and cancelled": lambda found: len(found.leftover),
    "contradictions": lambda found: len(found.wrong),
}


def _opening(result: SessionResult) -> str:
    chosen = "" if result.database == "both" else f" --database {result.database}"
    return f"""# Killed at random, under load

{
        _wrapped(f'''
    Written by `make faults`. To repeat it: `make faults KILLS={result.kills} ARGS="--seed {result.seed}{chosen}"`.
    The seed draws every choice of senders, killer and sandbox; what the machine makes of them differs from run
    to run.
''')
    }

- commit {commit()}, seed {result.seed}, {result.kills} kills asked for
{_item(_machine())}
{_item(_LOAD)}
{_item(f"the sandbox: {upstream.DESCRIPTION}")}
{_item(_WAITS)}
"""


_LOAD = f"""
    load: {trial.BACKENDS} backends that submit with idempotency keys and retry until they are answered, but
    for the {submitting.GIVES_UP:.0%} that give up at the first failure; {submitting.CANCELLED:.0%} are
    cancelled. Callbacks and events come from the sandbox, {sending.COPIED:.0%} of them again and some thirty
    times from {trial.SENDERS} senders, and events about unknown runs. All go through one address,
    as through a load balancer.
"""
_WAITS = f"""
    waits are compressed: a lease lasts {trial.LEASE:.0f} s (20 s in production), the sweep comes every
    {trial.SWEEP:.0f} s (60 s). A killed process stays down for {killing.DOWN[0]} to {killing.DOWN[1]} s.
    PostgreSQL runs without fsync: it is our processes that die here, not the machine.
"""
_READING = """
    How to read it. *Lost*: acknowledged and not found, a record that was never settled, or a genuine delivery
    that was refused. *Doubled*: a submission with two records, more than one successful exec over all upstream
    runs that carry its nonce, more than one end in the ledger, an event that was accepted twice. *Recovery*:
    from the SIGKILL until the last of the jobs that were leased at that moment, by any process, was completed,
    released or claimed again. Its figures are the median, the 95th percentile and the maximum.
"""


def _wrapped(text: str) -> str:
    return textwrap.fill(" ".join(text.split()), 113)


def _item(text: str) -> str:
    return textwrap.indent(_wrapped(text), "  ").replace("  ", "- ", 1)


def commit() -> str:
    """Return the commit that was tested, and whether tracked files differ from it."""
    done = subprocess.run(
        ["git", "describe", "--always", "--abbrev=12", "--dirty= with changes"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.stdout.strip() or "unknown"


def _machine() -> str:
    machine = (
        f"{os.cpu_count()} cores of {platform.machine()}, {platform.system()}, Python {platform.python_version()}"
    )
    busy = "where it is above the number of cores, all times are longer"
    return f"{machine}; a load of {os.getloadavg()[2]:.1f} over the last fifteen minutes: {busy}"


def _sources(result: SessionResult) -> str:
    """Return by which source runs were recovered."""
    heads = [head for each in result.outcomes for head in (f"{_name(each)}, all", "under way at a kill")]
    lines: list[list[object]] = [["source", *heads]]
    lines += [
        [source, *(f"{count:,}" for each in result.outcomes for count in each.sources[source])]
        for source in outcomes.SOURCES
    ]
    return f"## By which source runs were settled\n\n{_table(lines)}\n"


def _findings(result: SessionResult) -> str:
    found = [f"- {each}" for each in result.findings] or ["Nothing."]
    return "\n".join(["## Findings", "", *found, ""])


def _raw(result: SessionResult) -> str:
    """Return all raw counts."""
    lines: list[list[object]] = [["of", "what", *(_name(each) for each in result.outcomes)]]
    for of in result.outcomes[0].counts:
        names = sorted({name for each in result.outcomes for name in each.counts[of]})
        lines += [[of, name, *(f"{each.counts[of].get(name, 0):,}" for each in result.outcomes)] for name in names]
    return f"## Raw counts\n\n{_table(lines)}\n"


def _name(each: outcomes.Outcome) -> str:
    return {"sqlite": "SQLite", "postgresql": "PostgreSQL"}[each.kind]


def _table(lines: Sequence[Sequence[object]]) -> str:
    head, *body = ["| " + " | ".join(str(cell) for cell in line) + " |" for line in lines]
    return "\n".join([head, "|" + "---|" * len(lines[0]), *body])
