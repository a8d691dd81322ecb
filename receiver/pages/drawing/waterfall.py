"""The waterfall of a run: its rows (the run, its turns, its steps) and the bars beside them. Pure.

Instants are milliseconds from the beginning of the run. A turn is derived: it begins at each thinking step that
follows a result. A call and its result are one row.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

#: The marks of the axis, in per cent.
MARKS = (0, 25, 50, 75, 100)
_MS = timedelta(milliseconds=1)
#: Where a label still has room at the right of its bar, and from where at its left, in per cent.
_ROOM_RIGHT, _ROOM_LEFT = 84.0, 12.0
#: How many times as long as the run itself its steps may seem to take, by clocks that differ.
_LATE = 2
_THINKING = {"thinking", "reasoning"}
_CALLS = {"tool_call", "tool_use", "toolCall"}
_RESULTS = {"tool_result", "toolResult", "tool_error"}
_OUTPUTS = {"output", "message", "text", "answer"}


class Step(Protocol):
    """A step as it is stored, without its values."""

    @property
    def position(self) -> int: ...
    @property
    def type(self) -> str | None: ...
    @property
    def tool_name(self) -> str | None: ...
    @property
    def duration_ms(self) -> int | None: ...
    @property
    def timestamp(self) -> datetime | None: ...
    @property
    def is_failed(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Times:
    """When a run began (was accepted, or created elsewhere), when it started to work, and when it ended.

    `end` is now for a run that still runs (`is_live`).
    """

    begin: datetime
    started: datetime | None
    end: datetime | None
    is_live: bool = False

    def ms(self, moment: datetime) -> int:
        """Return an instant as milliseconds from the beginning."""
        return (moment - self.begin) // _MS


@dataclass(frozen=True, slots=True)
class Window:
    """A part of the run's time."""

    start: int
    end: int

    @property
    def length(self) -> int:
        return max(self.end - self.start, 1)

    def place(self, at: int) -> float:
        """Return where an instant lies in the window, in per cent, cut to its edges.

        >>> Window(100, 300).place(150), Window(100, 300).place(900)
        (25.0, 100.0)
        """
        return round(min(max((at - self.start) / self.length, 0.0), 1.0) * 100, 3)

    def mark(self, percent: int) -> int:
        """Return the instant at a mark of the axis."""
        return self.start + self.length * percent // 100


@dataclass(slots=True)
class Row:
    """A row of the waterfall. `kind` is run, wait, turn, think, tool, output or other.

    `first` and `last` are the positions of its steps; `turn` is the number of its turn, 0 outside of turns.
    """

    kind: str
    level: int
    name: str
    start: int
    end: int
    first: int | None = None
    last: int | None = None
    turn: int = 0
    is_failed: bool = False
    is_live: bool = False
    steps: list[Row] = field(default_factory=list)

    @property
    def took(self) -> int:
        return self.end - self.start

    @property
    def positions(self) -> str:
        """Return the positions of the steps as text: 23–24, or 23, 27 where others lie between."""
        if self.first is None or self.level < 3:
            return ""
        if self.last is None or self.last == self.first:
            return str(self.first)
        return f"{self.first}{'–' if self.last == self.first + 1 else ', '}{self.last}"

    def has(self, position: int) -> bool:
        """Return whether a step belongs to this row itself."""
        return self.level == 3 and position in (self.first, self.last)


@dataclass(frozen=True, slots=True)
class Bar:
    """The bar of a row in a window, in per cent. `label_at` is None where no label has room."""

    x: float
    width: float
    is_seen: bool
    label_at: float | None
    is_label_left: bool


def kind(step: Step) -> str:
    """Return the kind of a row that a step makes."""
    if step.type in _THINKING:
        return "think"
    if step.type in _CALLS or step.type in _RESULTS or step.tool_name is not None:
        return "tool"
    return "output" if step.type in _OUTPUTS else "other"


def rows(steps: Sequence[Step], times: Times) -> list[Row]:
    """Return the rows of the steps: each turn with its steps; steps before the first turn are a turn as well."""
    ends = _are_ends(steps, times)
    made = list(_step_rows(steps, times, ends))
    turns: list[Row] = []
    is_after_result = True
    for row in made:
        if not turns or (row.kind == "think" and is_after_result):
            number = len(turns) + 1
            turns.append(Row("turn", 2, f"Turn {number}", row.start, row.end, row.first, turn=number))
        turn = turns[-1]
        turn.steps.append(row)
        turn.start, turn.end, turn.last = min(turn.start, row.start), max(turn.end, row.end), row.last
        row.turn, turn.is_failed = turn.turn, turn.is_failed or row.is_failed
        is_after_result = row.kind in {"tool", "output"}
    return turns


def _step_rows(steps: Sequence[Step], times: Times, ends: bool) -> Iterator[Row]:
    """Yield a row for each step; a call takes the first later result of its tool."""
    results = _results(steps)
    taken = {result.position for result in results.values()}
    clock = times.ms(times.started) if times.started else 0
    for step in steps:
        if step.position in taken:
            continue
        result = results.get(step.position)
        start, end = _span(step, times, clock, ends)
        if result is not None:
            start, end = (end if ends else start), _span(result, times, end, ends)[1]
        end = max(start, end)
        clock = end
        last = step if result is None else result
        name = step.tool_name or (step.type or "step").replace("_", " ").capitalize()
        is_failed = step.is_failed or last.is_failed
        yield Row(kind(step), 3, name, start, end, step.position, last.position, is_failed=is_failed)


def _results(steps: Sequence[Step]) -> dict[int, Step]:
    """Return the result of each call, by the position of the call. Calls of a tool are answered in their order."""
    waiting: defaultdict[str | None, deque[int]] = defaultdict(deque)
    found: dict[int, Step] = {}
    for step in steps:
        if step.type in _CALLS:
            waiting[step.tool_name].append(step.position)
        elif step.type in _RESULTS and waiting[step.tool_name]:
            found[waiting[step.tool_name].popleft()] = step
    return found


def _span(step: Step, times: Times, clock: int, ends: bool) -> tuple[int, int]:
    """Return start and end of a step; one without an instant follows the step before it."""
    took = step.duration_ms or 0
    if step.timestamp is None:
        return clock, clock + took
    at = times.ms(step.timestamp)
    return (at - took, at) if ends else (at, at + took)


def _are_ends(steps: Sequence[Step], times: Times) -> bool:
    """Return whether the instants of steps are their ends: then fewer steps overlap than if they were starts.

    The run's own beginning counts as the end of a step before the first one.
    """
    as_ends = as_starts = 0
    last, took = times.started or times.begin, 0
    for step in steps:
        if step.timestamp is not None:
            gap = (step.timestamp - last) // timedelta(milliseconds=1)
            as_ends += gap < (step.duration_ms or 0) - 1
            as_starts += gap < took - 1
            last, took = step.timestamp, step.duration_ms or 0
    return as_ends <= as_starts


def whole(turns: Sequence[Row], times: Times) -> Window:
    """Return the time of the whole run: to its end, or to the end of its last step unless that is far later."""
    latest = max((turn.end for turn in turns), default=0)
    end = times.ms(times.end) if times.end is not None else latest
    return Window(0, max(end, latest if latest <= _LATE * end else 0, 1))


def head(times: Times, window: Window) -> list[Row]:
    """Return the rows above the turns: the run, and how long it waited before it started."""
    run = Row("run", 1, "Run", 0, window.end, is_live=times.is_live)
    until = times.ms(times.started) if times.started is not None else (window.end if times.is_live else 0)
    waiting = Row("wait", 2, "Waiting", 0, until, is_live=times.is_live and times.started is None)
    return [run, waiting] if until > 0 else [run]


def is_shown(row: Row, window: Window) -> bool:
    """Return whether any part of a row lies in the window."""
    return row.end >= window.start and row.start <= window.end


def bar(row: Row, window: Window) -> Bar:
    """Return the bar of a row, cut to the window, and the place of its label."""
    left, right = window.place(row.start), window.place(row.end)
    width = round(right - left, 3)
    if right <= _ROOM_RIGHT:
        return Bar(left, width, is_shown(row, window), right, False)
    return Bar(left, width, is_shown(row, window), left if left >= _ROOM_LEFT else None, True)


def lanes(turns: Iterable[Row], window: Window, most: int = 600) -> list[tuple[str, float, float]]:
    """Return the bars of the overview above the axis: kind, place and width, at most one for each place and kind.

    Bars that touch are drawn as one, so their number does not grow with the number of steps.
    """
    scale, start, length = most / 100, window.start, window.length
    found: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for row in (step for turn in turns for step in turn.steps):
        name = "failed" if row.is_failed else row.kind
        left = min(max((row.start - start) * most // length, 0), most)
        right = min(max((row.end - start) * most // length, 0), most) + 1
        bars = found[name]
        if bars and left <= bars[-1][1]:
            bars[-1] = (min(bars[-1][0], left), max(bars[-1][1], right))
        else:
            bars.append((left, right))
    return [
        (name, round(left / scale, 2), round(max(right - left, 1) / scale, 2))
        for name, bars in found.items()
        for left, right in bars
    ]
