"""Two runs beside each other: their measures, prompts, answers and steps."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import markupsafe
from anyio import to_thread
from starlette.responses import Response

from receiver.pages import formats, requests
from receiver.pages.drawing import differences, markdown
from receiver.pages.run_parts import head
from receiver.schemas import text_types
from receiver.web.authentication import Scope
from storage.engine.database import Snapshot
from storage.query import grammar, run_contents, run_lines, run_neighbours, run_pages

router = requests.Router()
#: The share of a text that has to be in both for its differences to be shown word by word.
LEAST_SAME = 0.35
#: The most proposals among the runs that run one again.
CHOICES = 3
_ID = re.compile(text_types.ID)
_ADDRESS = re.compile(r"/runs/([\w-]+)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two runs, with its steps in outline."""

    head: head.Head
    steps: Sequence[run_contents.Outline]


@dataclass(frozen=True, slots=True)
class Measure:
    """A measure of both runs as text, and by how much the second differs from the first in per cent."""

    name: str
    first: str
    second: str
    change: float | None


@dataclass(frozen=True, slots=True)
class Text:
    """The differences of a text of both runs. `is_cut` tells that only the beginnings were compared.

    Markdown is compared as it reads; it is also `rendered` where it is shown beside the other.
    """

    name: str
    first: str
    second: str
    pieces: Sequence[differences.Piece]
    is_cut: bool
    has_same_source: bool
    rendered: Sequence[markupsafe.Markup] = ()

    @property
    def is_same(self) -> bool:
        return self.first == self.second

    @property
    def is_rewritten(self) -> bool:
        """Return whether the texts have too little in common to be shown word by word."""
        same = sum(len(each.text) for each in self.pieces if each.kind == "same")
        return same < LEAST_SAME * max(len(self.first), len(self.second))


@router.page("GET", "/compare", Scope.READ)
async def show(given: requests.PageRequest) -> Response:
    """Show the differences of runs `a` and `b`; without one of them, the form that asks for both."""
    a, b = (_id(given.parameter(name)) for name in ("a", "b"))
    if not (_ID.fullmatch(a) and _ID.fullmatch(b)):
        choices = await given.read(partial(_choices, given, a)) if _ID.fullmatch(a) and not b else []
        return given.page("compare.html", a=a, b=b, sides=None, fault=bool(a and b), choices=choices)
    sides, is_raw = await given.read(partial(_load, given, (a, b))), given.parameter("as") == "raw"
    # Comparing foreign texts may take seconds, for which the event loop must not wait.
    texts, rows = await to_thread.run_sync(lambda: (_texts(sides, is_raw), _rows(sides)))
    values = {"measures": _measures(sides), "texts": texts, "rows": rows, "most": differences.MOST_STEPS}
    return given.page("compare.html", a=a, b=b, sides=sides, fault=False, is_raw=is_raw, **values)


def _id(text: str) -> str:
    """Return the id of a run, given by its id or by the address of its page."""
    named = _ADDRESS.search(text)
    return named[1] if named else text.strip()


def _choices(given: requests.PageRequest, a: str, store: Snapshot) -> list[tuple[str, run_lines.Line]]:
    """Return the runs that are proposed to be compared with one, each with its relation to it."""
    run = head.load(replace(given, ids={"id": a}), store).run
    found = [("The run that it runs again", run.again_of)]
    again = _with("again_of", run.id)
    found += [
        ("Its text, run again", each.id)
        for each in store.read(run_pages.page, run_pages.Query(again, limit=CHOICES))[0]
    ]
    if run.agent_id:
        beside = store.read(run_neighbours.find, run.seq, _with("agent", run.agent_id), "-accepted")
        found += [("The run of its agent before it", beside.behind), ("The one after it", beside.before)]
    lines = {each: (what, store.read(run_lines.find, each)) for what, each in reversed(found) if each}
    return [(what, line) for what, line in reversed(lines.values()) if line is not None]


def _with(name: str, value: str) -> grammar.Expression:
    return grammar.Equals(name, (grammar.Value(value),))


def _load(given: requests.PageRequest, ids: tuple[str, str], store: Snapshot) -> list[Side]:
    heads = [head.load(replace(given, ids={"id": each}), store) for each in ids]
    return [Side(each, store.read(run_contents.outlines, each.run.seq)) for each in heads]


def _rows(sides: Sequence[Side]) -> list[tuple[run_contents.Outline | None, run_contents.Outline | None]]:
    """Return the steps of both runs in pairs."""
    first, second = (each.steps for each in sides)
    pairs = differences.of_steps([_name(each) for each in first], [_name(each) for each in second])
    return [(_at(first, left), _at(second, right)) for left, right in pairs]


def _name(step: run_contents.Outline) -> str:
    return f"{step.type} {step.tool_name}"


def _at(steps: Sequence[run_contents.Outline], place: int | None) -> run_contents.Outline | None:
    return None if place is None else steps[place]


def _measures(sides: Sequence[Side]) -> list[Measure]:
    first, second = (each.head for each in sides)
    pairs = (
        ("Took", first.run.duration_ms, second.run.duration_ms, formats.duration),
        ("Cost", first.run.cost_micros, second.run.cost_micros, formats.money),
        ("Tokens", first.tokens, second.tokens, formats.count),
        ("Input tokens", first.run.input_tokens, second.run.input_tokens, formats.count),
        ("Output tokens", first.run.output_tokens, second.run.output_tokens, formats.count),
        ("Tool calls", first.run.tool_calls, second.run.tool_calls, formats.count),
        ("Steps", first.run.step_count, second.run.step_count, formats.count),
    )
    return [Measure(name, spell(a), spell(b), _change(a, b)) for name, a, b, spell in pairs]


def _change(first: int | None, second: int | None) -> float | None:
    return None if not first or second is None else 100 * (second - first) / first


def _texts(sides: Sequence[Side], is_raw: bool) -> list[Text]:
    names = (("Prompt", "prompt"), ("Guidance", "guidance"), ("Answer", "output"))
    runs = [each.head.run for each in sides]
    return [
        _text(name, *(getattr(run, column) or "" for run in runs), is_markdown=column == "output" and not is_raw)
        for name, column in names
    ]


def _text(name: str, *sources: str, is_markdown: bool) -> Text:
    first, second = map(markdown.plain, sources) if is_markdown else sources
    most = differences.MOST_CHARACTERS
    is_cut = max(map(len, sources)) > most
    pieces = [] if first == second else differences.of_texts(first, second)
    made = Text(name, first[:most], second[:most], pieces, is_cut, sources[0] == sources[1])
    if is_markdown and made.is_rewritten:
        return replace(made, rendered=[markdown.render(each) for each in sources])
    return made
