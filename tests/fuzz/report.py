"""The report of a session as Markdown, and the failures as files."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tests.faults import report
from tests.fuzz import surfaces, trial

if TYPE_CHECKING:
    from tests.fuzz.session import Failure, Session

_NAMES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}


def keep(folder: Path, seed: int, failure: Failure) -> None:
    """Write a failure into a file of its own, with the smallest input that is known, and its bodies beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    name = re.sub(r"[^\w]+", "-", f"{failure.surface}-{failure.batch}-{failure.finding.signature}")[:90].strip("-")
    content = {
        "failure": failure.finding.signature,
        "database": failure.kind,
        "again": again(seed, failure),
        "happened again alone": failure.is_repeated,
        "input": [case.shown() for case in failure.smallest[:40]],
        "detail": failure.finding.detail,
    }
    (folder / f"{name}.json").write_text(json.dumps(content, indent=1, ensure_ascii=True))
    for place, case in enumerate(failure.smallest[:3]):
        if case.request is not None and case.request.body:
            (folder / f"{name}.{place}.body").write_bytes(case.request.body)


def again(seed: int, failure: Failure) -> str:
    """Return the command that repeats the batch."""
    only = f"{failure.surface}:{failure.batch}"
    return f"python -m tests.fuzz --seed {seed} --database {failure.kind} --only {only}"


def written(session: Session, kinds: Sequence[str]) -> str:
    """Return the report."""
    return "\n".join([_opening(session, kinds), summary(session, kinds), "", _found(session)])


def _opening(session: Session, kinds: Sequence[str]) -> str:
    chosen = "" if len(kinds) > 1 else f" --database {kinds[0]}"
    command = f'make fuzz MINUTES={session.minutes:g} ARGS="--seed {session.seed}{chosen}"'
    about = f"""
        Written by `make fuzz`. To repeat it: `{command}`. The seed draws every value; which of them meet in the
        server differs from run to run.
    """
    late = f"""
        `/healthz` is asked ten times a second from a process of its own. What the kernel says that the server's
        threads and the prober waited for a core meanwhile is taken off, since other programs cause that; more than
        {trial.HEALTHY:.0f} s of what is left is a failure.
    """
    settles = f"""
        Answers are changed for one batch, then the upstream is valid again. Each submitted run has to end within
        {trial.SETTLED:.0f} s, all lists, exports and pages are read, and `/readyz` is to say ready. No answer is
        5xx but 503, no log has a traceback, no genuine event is answered 4xx, no forged one 2xx.
    """
    return f"""# Hostile values on every surface

{_filled(about)}

- commit {report.commit()}, seed {session.seed}, {session.minutes:g} minutes asked for
{_item(report._machine())}
{_item(late)}
{_item(settles)}
"""


def _filled(text: str) -> str:
    return textwrap.fill(" ".join(text.split()), 113)


def _item(text: str) -> str:
    return textwrap.indent(_filled(text), "  ").replace("  ", "- ", 1)


def summary(session: Session, kinds: Sequence[str]) -> str:
    """Return the table of figures, a column per database."""
    played = [kind for kind in kinds if kind in session.figures]
    lines: list[list[str]] = [["", *(_NAMES[kind] for kind in played)]]
    failures = [sum(each.kind == kind for each in session.failures.values()) for kind in played]
    lines.append(["**failures**", *(f"**{count}**" for count in failures)])
    lines += [
        [f"cases, {surface}", *(f"{session.played.get((kind, surface), 0):,}" for kind in played)]
        for surface in surfaces.SURFACES
    ]
    facts = [_facts(session.figures[kind], session.seconds.get(kind, 0.0)) for kind in played]
    lines += [
        [name, *(fact.get(name, "0") for fact in facts)] for name in dict.fromkeys(n for f in facts for n in f)
    ]
    head, *rest = ["| " + " | ".join(line) + " |" for line in lines]
    return "\n".join([head, "|" + "---|" * len(lines[0]), *rest])


def _facts(figures: trial.Figures, seconds: float) -> dict[str, str]:
    counted = {
        "seconds": f"{seconds:,.0f}",
        "servers started": f"{figures.starts:,}",
        "questions to /healthz": f"{figures.probes:,}",
        "slowest answer of /healthz": f"{figures.slowest:.2f} s ({figures.slowest_raw:.2f} s with waits)",
        "most memory": f"{figures.memory / 2**20:,.0f} MiB",
        "runs submitted": f"{figures.submitted:,}",
        "longest until the runs of a batch had ended": f"{figures.settle_seconds:.1f} s",
    }
    counted |= {f"runs, {status}": f"{count:,}" for status, count in sorted(figures.settled.items())}
    counted |= {
        f"answers changed, {route}": f"{count:,}" for route, count in sorted(figures.changed_answers.items())
    }
    return counted | {f"answered {status}": f"{count:,}" for status, count in sorted(figures.statuses.items())}


def _found(session: Session) -> str:
    if not session.failures:
        return "## Failures\n\nNone.\n"
    lines = ["## Failures", ""]
    for each in session.failures.values():
        lines.append(
            f"- **{each.surface}**, {each.count} times, first on {_NAMES[each.kind]}: {each.finding.signature}"
        )
        shown = json.dumps([case.shown() for case in each.smallest[:1]])[:600]
        lines += [f"  - again: `{again(session.seed, each)}`", f"  - input: `{shown.replace('`', chr(39))}`"]
    return "\n".join([*lines, ""])
