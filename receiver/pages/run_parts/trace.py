"""The trace of a run: which rows of its waterfall a page shows, with the beginnings of their texts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from receiver.pages import formats
from receiver.pages.drawing import waterfall
from receiver.pages.run_parts import head
from storage.engine.database import Snapshot
from storage.query import run_contents

#: The rows of one window, and the most characters of a text to find.
ROWS, MAX_TEXT = 200, 200
_FOLD = re.compile(r"(all|none)((?:\.\d{1,5}){0,300})")
_PAIR = re.compile(r'"([^"\\]{1,60})":\s*("(?:[^"\\]|\\.)*"?|-?[0-9.eE+-]+|true|false|null)?')
_ERROR = re.compile(r'"(?:error|message)":\s*"((?:[^"\\]|\\.){1,60})')


@dataclass(frozen=True, slots=True)
class Question:
    """What a page asks of the trace. `start` and `end` are milliseconds, `fold` names turns: see `is_open`."""

    find: str = ""
    only: str = ""
    fold: str = ""
    start: int | None = None
    end: int | None = None
    after: int = 0
    step: int | None = None

    def is_open(self, turn: int) -> bool:
        """Return whether a turn shows its steps: `all.3` folds all but turn 3, `none.3` only turn 3."""
        found = _FOLD.fullmatch(self.fold)
        if found is None:
            return True
        is_named = str(turn) in found[2].split(".")
        return is_named if found[1] == "all" else not is_named

    def toggled(self, turn: int) -> str:
        """Return `fold` with one turn opened or closed."""
        found = _FOLD.fullmatch(self.fold)
        base, named = (found[1], found[2].split(".")[1:]) if found else ("none", [])
        others = [each for each in named if each != str(turn)]
        return ".".join([base, *(others if str(turn) in named else [*named, str(turn)])])

    def parameters(self, **changes: Any) -> dict[str, Any]:
        """Return the question as parameters of a URL, with changes, which begin at the first row."""
        asked = replace(self, **{"after": 0, **changes})
        return {
            "find": asked.find,
            "only": asked.only,
            "fold": "" if asked.fold == "none" else asked.fold,
            "from": asked.start,
            "to": asked.end,
            "after": asked.after or None,
            "step": asked.step,
        }


@dataclass(frozen=True, slots=True)
class Shown:
    """A row as a page shows it. `more` is the beginning of its text, `label` the text at its bar."""

    row: waterfall.Row
    bar: waterfall.Bar
    place: int
    more: str = ""
    label: str = ""
    is_open: bool | None = None
    is_selected: bool = False


@dataclass(frozen=True, slots=True)
class Trace:
    """A window of the rows of a waterfall. `total` counts the rows that match, `counts` the steps."""

    question: Question
    counts: Mapping[str, int]
    times: waterfall.Times
    whole: waterfall.Window
    window: waterfall.Window
    lanes: list[tuple[str, float, float]]
    turns: list[waterfall.Row]
    rows: list[Shown]
    total: int
    selected: waterfall.Row | None
    steps: Sequence[run_contents.Outline]

    @property
    def is_zoomed(self) -> bool:
        return self.window != self.whole

    @property
    def next_after(self) -> int | None:
        """Return where the next window of rows begins; None behind the last one."""
        after = self.question.after + ROWS
        return after if after < self.total else None

    @property
    def marks(self) -> list[tuple[int, int]]:
        """Return the marks of the axis: per cent, and milliseconds from the beginning."""
        return [(each, self.window.mark(each)) for each in waterfall.MARKS]


def question(parameter: Callable[[str], str]) -> Question:
    """Return the question in the parameters of a request; what cannot be read counts as not given."""
    only = parameter("only")
    return Question(
        find=parameter("find").strip()[:MAX_TEXT].replace("\0", ""),
        only=only if only in {"failed", "tools"} else "",
        fold=parameter("fold") if _FOLD.fullmatch(parameter("fold")) else "",
        start=_number(parameter("from")),
        end=_number(parameter("to")),
        after=_number(parameter("after")) or 0,
        step=_number(parameter("step")),
    )


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 12 else None


def load(store: Snapshot, of: head.Head, asked: Question) -> Trace:
    """Return the rows that a question selects."""
    steps = store.read(run_contents.outlines, of.run.seq)
    found = store.read(run_contents.containing, of.run.seq, asked.find) if asked.find and steps else None
    trace = arrange(steps, of.times, asked, found)
    wanted = [each for shown in trace.rows for each in _read_positions(shown.row)]
    heads = store.read(run_contents.heads, of.run.seq, wanted) if wanted else {}
    return replace(trace, rows=[_described(each, heads) for each in trace.rows])


def arrange(
    steps: Sequence[run_contents.Outline], times: waterfall.Times, asked: Question, found: set[int] | None = None
) -> Trace:
    """Return the rows of a trace without their texts. `found` are the positions of the steps that match."""
    turns = waterfall.rows(steps, times)
    whole = waterfall.whole(turns, times)
    window = _window(asked, whole)
    each_row = [row for turn in turns for row in turn.steps]
    counts = {
        "all": len(steps),
        "failed": sum(row.is_failed for row in each_row),
        "tools": sum(row.kind == "tool" for row in each_row),
    }
    flat = list(_flat(turns, times, asked, window, found))
    selected = _selected(each_row, asked.step)
    rows = [
        Shown(
            row,
            waterfall.bar(row, window),
            place + 1,
            is_open=None if row.kind != "turn" else asked.is_open(row.turn),
            is_selected=row is selected,
        )
        for place, row in list(enumerate(flat))[asked.after : asked.after + ROWS]
    ]
    lanes = waterfall.lanes(turns, whole)
    return Trace(asked, counts, times, whole, window, lanes, turns, rows, len(flat), selected, steps)


def _window(asked: Question, whole: waterfall.Window) -> waterfall.Window:
    start, end = asked.start or 0, whole.end if asked.end is None else min(asked.end, whole.end)
    return waterfall.Window(start, end) if 0 <= start < end else whole


def _flat(
    turns: Sequence[waterfall.Row],
    times: waterfall.Times,
    asked: Question,
    window: waterfall.Window,
    found: set[int] | None,
) -> Iterator[waterfall.Row]:
    """Yield the rows in their order: those of the run, and of each turn with a step that matches."""
    whole = waterfall.whole(turns, times)
    is_filtered, is_zoomed = bool(asked.only) or found is not None, window != whole
    if not is_filtered:
        yield from waterfall.head(times, whole)
    for turn in turns:
        seen = [row for row in turn.steps if not is_zoomed or waterfall.is_shown(row, window)]
        matching = [row for row in seen if _matches(row, asked.only, found)]
        if matching:
            yield turn
            yield from matching if asked.is_open(turn.turn) else ()


def _matches(row: waterfall.Row, only: str, found: set[int] | None) -> bool:
    if found is not None and not (row.first in found or row.last in found):
        return False
    return row.is_failed if only == "failed" else row.kind == "tool" if only == "tools" else True


def _selected(each_row: list[waterfall.Row], step: int | None) -> waterfall.Row | None:
    """Return the requested row, or else the first failed one, or else the last output."""
    if step is not None:
        return next((row for row in each_row if row.has(step)), None)
    failed = next((row for row in each_row if row.is_failed), None)
    return failed or next((row for row in reversed(each_row) if row.kind == "output"), None)


def _read_positions(row: waterfall.Row) -> Iterator[int]:
    """Yield the steps whose beginnings a row shows."""
    if row.kind == "turn":
        yield from (each for step in row.steps[:1] for each in (step.first,) if each is not None)
    elif row.first is not None:
        yield row.first
        if row.is_failed and row.last not in (None, row.first):
            yield row.last or 0


def _described(shown: Shown, heads: Mapping[int, run_contents.Head]) -> Shown:
    row = shown.row
    first = row.first if row.kind != "turn" else row.steps[0].first
    begin, last = heads.get(-1 if first is None else first), heads.get(-1 if row.last is None else row.last)
    label = formats.duration(row.took)
    if row.is_failed and row.kind != "turn":
        reason = _ERROR.search((last.output if last else "") or "")
        label += f" · {reason[1] if reason else 'failed'}"
    return replace(shown, more=_more(row, begin), label=label)


def _more(row: waterfall.Row, begin: run_contents.Head | None) -> str:
    if row.kind == "run":
        return ""
    if row.kind == "wait":
        return "accepted, created, started" if not row.is_live else "not started yet"
    if begin is None:
        return ""
    return summary(begin.input) if row.kind == "tool" and begin.input else (begin.content or begin.output or "")


def summary(text: str) -> str:
    """Return the beginning of an object's text as one line: its texts first, then the others with their names.

    >>> summary('{"limit":7,"query":"force majeure","deep":{"a":1}}')
    'force majeure, a 1, limit 7'
    """
    pairs = _PAIR.findall(text)
    texts = [value.strip('"') for _, value in pairs if value.startswith('"')]
    others = sorted(f"{name} {value}" for name, value in pairs if value and not value.startswith('"'))
    return ", ".join([*texts, *others]) or text
