"""A whole run on one page, as it is printed: answer, request, usage, deliveries, timeline, and a list of steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from receiver.pages.drawing import markdown, waterfall
from receiver.pages.run_parts import head, panels, trace
from storage.engine.database import Snapshot
from storage.query import run_contents

#: The tab that shows all parts, and the rows of steps that it lists.
TAB, ROWS = "all", 500
#: The panels that are there, and those of them that are removed when a run is pruned.
_PANELS, _CONTENT = ("answer", "prompt", "usage", "deliveries", "timeline", "reviews"), {"answer", "prompt"}


@dataclass(frozen=True, slots=True)
class Step:
    """A step, or a call and its result, on one line of the list."""

    row: waterfall.Row
    text: str


def load(store: Snapshot, of: head.Head) -> panels.Values:
    """Return the variables of all parts that are left of a run."""
    values: panels.Values = {}
    for name in _PANELS:
        if not (of.is_pruned and name in _CONTENT):
            values |= panels.PANELS[name][1](store, of, lambda _: "")
    steps = [] if of.is_pruned else store.read(run_contents.outlines, of.run.seq)
    rows = [row for turn in waterfall.rows(steps, of.times) for row in turn.steps]
    shown, versions = (
        list(_described(store, of, rows[:ROWS])),
        store.read(run_contents.document_versions, of.run.id),
    )
    return values | {"listed": shown, "rows": len(rows), "versions": versions}


def _described(store: Snapshot, of: head.Head, rows: Sequence[waterfall.Row]) -> Iterator[Step]:
    positions = sorted({each for row in rows for each in (row.first, row.last) if each is not None})
    heads = store.read(run_contents.heads, of.run.seq, positions) if positions else {}
    for row in rows:
        yield Step(row, _text(row, heads))


def _text(row: waterfall.Row, heads: Mapping[int, run_contents.Head]) -> str:
    """Return the text of a step; of a call the input of its tool, and its output where it failed."""
    first, last = (heads.get(-1 if each is None else each) for each in (row.first, row.last))
    given = ""
    if first is not None:
        given = _begin(first, "input" if first.input else "content")
    returned = _begin(last, "output") if last is not None and (row.is_failed or not given) else ""
    return " → ".join(each for each in (given, returned) if each)


def _begin(of: run_contents.Head, name: str) -> str:
    """Return the beginning of a value on one line."""
    text: str = getattr(of, name) or ""
    size = of.size(name) or 0
    begin = trace.summary(text) if name == "input" else markdown.plain(text) if name == "content" else text
    rest = " …" if len(text.encode("utf-8", "replace")) < size else ""
    return " ".join(begin.split()) + rest
