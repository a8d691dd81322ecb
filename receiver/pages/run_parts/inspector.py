"""One step, or a call and its result: its text, the input and output of its tool, and its duration."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import markupsafe

from receiver import errors
from receiver.pages.drawing import contents, json_tree, markdown, waterfall
from receiver.pages.run_parts import head
from storage.engine.database import Snapshot
from storage.query import run_contents

#: The characters of a value that are shown at first, and of each further window of it.
FIRST, NEXT = 4_000, 64_000
_TITLES = {"content": "Text", "input": "Input", "output": "Output"}


@dataclass(frozen=True, slots=True)
class Part:
    """A value of a step. It has a tree, or a file, or the beginning of its text."""

    name: str
    position: int
    title: str
    size: int
    text: str = ""
    tree: json_tree.Node | None = None
    blob: contents.Blob | None = None
    rendered: markupsafe.Markup | None = None

    @property
    def is_whole(self) -> bool:
        if self.tree is not None:
            return self.tree.is_whole
        return self.blob is not None or len(self.text.encode("utf-8", "replace")) >= self.size


@dataclass(frozen=True, slots=True)
class Inspected:
    """A row of the trace with its values, and the positions of the steps before and after it."""

    row: waterfall.Row
    at: datetime | None
    share: float | None
    parts: Sequence[Part]
    before: int | None
    after: int | None
    steps: Sequence[run_contents.Outline]


def load(store: Snapshot, of: head.Head, position: int, characters: int = FIRST) -> Inspected:
    """Return the row that a step belongs to. Raise NotFound."""
    steps = store.read(run_contents.outlines, of.run.seq)
    return inspect(store, of, position, steps, waterfall.rows(steps, of.times), characters)


def load_place(store: Snapshot, of: head.Head, position: int, name: str, pointer: str) -> Inspected:
    """Return what `load` returns, with only the part of one value that is at a JSON pointer. Raise NotFound."""
    found = load(store, of, position)
    each = store.read(run_contents.heads, of.run.seq, [position])[position]
    tree = json_tree.draw(value(store, of.run.seq, position, name, pointer), pointer, NEXT)
    return replace(found, parts=[Part(name, position, _TITLES[name], each.size(name) or 0, tree=tree)])


def inspect(
    store: Snapshot,
    of: head.Head,
    position: int,
    steps: Sequence[run_contents.Outline],
    turns: Sequence[waterfall.Row],
    characters: int = FIRST,
) -> Inspected:
    """Do what `load` does, for steps that are known already."""
    each_row = [row for turn in turns for row in turn.steps]
    at = next((place for place, row in enumerate(each_row) if row.has(position)), None)
    if at is None:
        raise errors.NotFound(f"this run has no step {position}")
    row = each_row[at]
    positions = [each for each in dict.fromkeys((row.first, row.last)) if each is not None]
    heads = store.read(run_contents.heads, of.run.seq, positions)
    whole = of.run.duration_ms or (of.times.ms(of.times.end) if of.times.end else 0)
    return Inspected(
        row,
        of.times.begin + timedelta(milliseconds=row.start),
        row.took / whole if whole and row.took <= whole else None,
        [_rendered(each, row) for each in _parts(store, of.run.seq, list(heads.values()), characters)],
        each_row[at - 1].first if at else None,
        each_row[at + 1].first if at + 1 < len(each_row) else None,
        [step for step in steps if step.position in positions],
    )


def _parts(store: Snapshot, run_seq: int, heads: Sequence[run_contents.Head], characters: int) -> Iterator[Part]:
    """Yield the values: texts of each step, the input once, the output of the last step that has one."""
    wanted = [("content", each) for each in heads]
    wanted += [("input", each) for each in heads if each.size("input") is not None][:1]
    wanted += [("output", each) for each in heads if each.size("output") is not None][-1:]
    for name, each in wanted:
        if each.size(name):
            yield part(store, run_seq, each, name, characters)


def _rendered(of: Part, row: waterfall.Row) -> Part:
    """Return the part with the text of an output rendered as Markdown, where it is complete."""
    if row.kind == "output" and of.name == "content" and of.text and of.is_whole:
        return replace(of, rendered=markdown.render(of.text))
    return of


def part(store: Snapshot, run_seq: int, of: run_contents.Head, name: str, characters: int) -> Part:
    """Return the beginning of a value in the form that suits its content."""
    size = of.size(name) or 0
    is_parsed = name != "content" and size <= json_tree.PARSED
    count = size if is_parsed else max(characters, 1 << 16)
    text = store.read(run_contents.piece, run_seq, of.position, name, 0, count) or ""
    value = _parsed(text) if is_parsed else text
    if isinstance(value, str) and not isinstance(value, json_tree.Number):
        blob = contents.recognise(value)
        return Part(name, of.position, _TITLES[name], size, "" if blob else value[:characters], blob=blob)
    budget = 3 * characters if size <= characters else characters
    return Part(name, of.position, _TITLES[name], size, tree=json_tree.draw(value, characters=budget))


def _parsed(text: str) -> json_tree.Value:
    """Return a JSON value; a text that is not JSON, or is too large to parse, is returned as it is."""
    try:
        return json_tree.parse(text)
    except ValueError:
        return text


def value(store: Snapshot, run_seq: int, position: int, name: str, pointer: str) -> json_tree.Value:
    """Return a whole value, or the one at a JSON pointer in it. Raise NotFound."""
    text = store.read(run_contents.piece, run_seq, position, name, 0, json_tree.PARSED)
    if text is None:
        raise errors.NotFound("this step has no such value")
    if name == "content":
        return text
    try:
        return json_tree.find(_parsed(text), pointer)
    except KeyError:
        raise errors.NotFound("there is nothing at this place of the value") from None
