"""The numbers at the head of the overview, each with its change against the range before. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from receiver.pages import formats
from receiver.pages.drawing import charts
from receiver.pages.overview.panels import Link
from receiver.pages.overview.period import Period
from storage import states
from storage.query import open_runs
from storage.stats.timelines import Sums, Timeline

#: The text where the range before has too many runs to be read.
UNKNOWN = "not compared: too many runs"
_FAILED = ("failed", "refused")


@dataclass(frozen=True, slots=True)
class Tile:
    """A number with its name, a second number beside it, a sentence, its address, and a small line."""

    name: str
    value: str
    beside: str
    said: str
    address: str
    line: str = ""
    kind: str = ""


def tiles(
    period: Period, found: Timeline, before: Sums | None, now_open: open_runs.OpenRuns, link: Link, now: datetime
) -> list[Tile]:
    """Return all tiles; `link` returns the address of runs."""
    line = partial(_line, period, found)
    return [
        _count(found.sums, before, link(None), line(_runs)),
        _failures(found.sums, before, link(None, "status:failed,refused"), line(_failed)),
        _cost(found.sums, before, link(None, "cost:>0"), line(lambda each: each.cost_micros)),
        _used(found.sums, before, link(None, "tokens:>0"), line(_tokens)),
        _time(found.sums, before, link(None, "has:duration"), line(lambda each: _median(each) or 0)),
        _open(now_open, link, now),
        _overdue(now_open),
    ]


def _count(sums: Sums, before: Sums | None, address: str, line: str) -> Tile:
    said = _change(sums, before, _runs, formats.count)
    return Tile("Runs", formats.count(_runs(sums)), "", said, address, line)


def _failures(sums: Sums, before: Sums | None, address: str, line: str) -> Tile:
    failed, share, share_before = _failed(sums), _share(sums), before and _share(before)
    more = "" if share_before is None else f"; {share_before:.1f} % before"
    said = _change(sums, before, _failed, formats.count, more)
    beside = "" if share is None else f"{share:.1f} %"
    return Tile("Failed", formats.count(failed), beside, said, address, line, "failed" if failed else "")


def _cost(sums: Sums, before: Sums | None, address: str, line: str) -> Tile:
    each = f"{formats.money(sums.cost_micros // _runs(sums))} a run" if _runs(sums) else ""
    said = _change(sums, before, lambda each: each.cost_micros, formats.money)
    return Tile("Cost", formats.money(sums.cost_micros), each, said, address, line)


def _used(sums: Sums, before: Sums | None, address: str, line: str) -> Tile:
    out = f"{formats.short_count(sums.output_tokens)} out" if sums.output_tokens else ""
    said = _change(sums, before, _tokens, formats.short_count)
    return Tile("Tokens", formats.short_count(_tokens(sums)), out, said, address, line)


def _time(sums: Sums, before: Sums | None, address: str, line: str) -> Tile:
    said = UNKNOWN if before is None else _longer(_median(sums), _median(before))
    return Tile("Median time", formats.duration(_median(sums)), "p50", said, address, line)


def _open(now_open: open_runs.OpenRuns, link: Link, now: datetime) -> Tile:
    counts = dict(now_open.counts)
    lost = counts.pop(states.LOST.value, 0)
    running = counts.pop("running", 0)
    waiting = sum(counts.values())
    said = "no run is open" if now_open.oldest is None else f"oldest open for {_age(now_open.oldest, now)}"
    beside = [f"{waiting:,} waiting"] * bool(waiting) + [f"{lost:,} lost"] * bool(lost)
    address = link(False, "status:accepted,queued,running,lost")
    return Tile("Running now", formats.count(running), ", ".join(beside), said, address)


def _overdue(now_open: open_runs.OpenRuns) -> Tile:
    count = now_open.overdue
    said = "should have ended by now" if count else "each run is within its time"
    return Tile("Overdue", formats.count(count), "", said, "#overdue", kind="warn" if count else "")


def _age(since: datetime, now: datetime) -> str:
    return formats.duration(max((now - since).total_seconds(), 0) * 1000)


def _runs(sums: Sums) -> int:
    return sums.states.total()


def _failed(sums: Sums) -> int:
    return sum(sums.states[each] for each in _FAILED)


def _share(sums: Sums) -> float | None:
    """Return the per cent of failed runs among those that ended."""
    ended = sum(sums.states[each] for each in states.TERMINAL)
    return 100 * _failed(sums) / ended if ended else None


def _tokens(sums: Sums) -> int:
    return sums.input_tokens + sums.output_tokens


def _median(sums: Sums) -> int | None:
    found = sums.durations.percentiles([50])
    return found[0] if found else None


def _change(
    sums: Sums, earlier: Sums | None, measure: Callable[[Sums], int], form: Callable[[int], str], more: str = ""
) -> str:
    """Return by how much a number differs from that of the range before."""
    if earlier is None:
        return UNKNOWN
    value, before = measure(sums), measure(earlier)
    if not before:
        return "none before" if value else "none before either"
    if value == before:
        return f"as {'many' if form is formats.count else 'much'} as before{more}"
    more_or_less = ("more", "fewer") if form is formats.count else ("more", "less")
    than = "" if more else " than before"
    return f"{form(abs(value - before))} {more_or_less[value < before]}{than}{more}"


def _longer(value: int | None, before: int | None) -> str:
    if value is None or before is None:
        return "none ended before" if before is None else f"{formats.duration(before)} before"
    if value == before:
        return "as long as before"
    return f"{formats.duration(abs(value - before))} {'shorter' if value < before else 'longer'} than before"


def _line(period: Period, found: Timeline, measure: Callable[[Sums], float]) -> str:
    """Return the small line of a measure over the parts of the range."""
    values = [0.0] * len(period.starts)
    for at, sums in found.periods.items():
        values[period.place(at)] += measure(sums)
    return charts.spark(_fewer(values)) if any(values) else ""


def _fewer(values: Sequence[float], most: int = 48) -> list[float]:
    """Return neighbouring values as one where there are too many."""
    step = -(-len(values) // most)
    return [sum(values[n : n + step]) for n in range(0, len(values), step)]
