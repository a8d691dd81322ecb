"""What a row of the list shows beside its prompt: why a run failed, what it waits for, where a word was found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from receiver.pages import formats
from storage import states
from storage.query import run_lines
from storage.search import snippets

#: The most characters of a reason that a row has.
MAX_REASON = 160
_WRONG = frozenset({states.Status.FAILED, states.Status.REFUSED, states.Status.LOST})
#: What the usual failures mean where the upstream gives no reason.
_UNSAID = {
    states.Status.LOST: "The upstream knows no such run",
    states.Status.FAILED: "Without a reason",
    states.Status.REFUSED: "The upstream did not accept it",
}


@dataclass(frozen=True, slots=True)
class Aside:
    """A sentence beside a prompt, and its kind: a class of the stylesheet."""

    kind: str
    text: str


def aside(run: run_lines.Line, now: datetime) -> Aside | None:
    """Return what a row shows beside the prompt; None where the state is enough."""
    if run.status in _WRONG:
        reason = run.failure_reason or _UNSAID[run.status]
        return Aside(run.status, reason if len(reason) <= MAX_REASON else f"{reason[:MAX_REASON]}…")
    if run.status not in states.LIVE:
        return None
    expected = formats.instant(run.expected_by)
    if expected is not None and expected < now:
        late = (now - expected).total_seconds() * 1000
        return Aside("warn", f"Overdue by {formats.duration(late)}")
    if run.cancel_requested_at:
        return Aside("soft", f"Cancelling since {formats.ago(run.cancel_requested_at, now)}")
    if run.missing_since:
        return Aside("warn", f"Not in the upstream's list, {formats.ago(run.missing_since, now)}")
    return None


def pieces(found: snippets.Snippet) -> Sequence[tuple[str, bool]]:
    """Return a passage in pieces, each with whether it was looked for."""
    edges = [0, *(edge for mark in found.marks for edge in mark), len(found.text)]
    return [(found.text[low:high], at % 2 == 1) for at, (low, high) in enumerate(pairwise(edges))]


def elapsed(run: run_lines.Line, now: datetime) -> float | None:
    """Return the milliseconds that a run took, or has taken so far where it is being executed."""
    if run.duration_ms is not None or run.status not in states.LIVE:
        return run.duration_ms if run.duration_ms is None else float(run.duration_ms)
    started = formats.instant(run.started_at)
    return None if started is None else max((now - started).total_seconds() * 1000, 0)
