"""What a question means in SQL is what it means in plain Python."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, select

from storage import states
from storage.query import conditions, grammar
from storage.query.grammar import And, Equals, Exists, Expression, InRange, Not, Or, Value
from storage.query.value_ranges import Range
from storage.search import index
from storage.tables.runs import RUN_TAGS, RUN_TOOLS, RUNS
from tests import life
from tests.storage import scratch

ROWS: list[dict[str, Any]] = [
    {
        "id": f"id{number}",
        "origin": "adopted" if number % 5 == 0 else "submitted",
        "status": list(states.Status)[number % 8].value,
        "agent_id": f"agent_{number % 3}",
        "model": None if number % 4 == 0 else f"m-{number % 2}",
        "submitted_by": "backend",
        "settled_by": None if number % 3 else list(states.Source)[number % 4].value,
        "review": (None, "approved", "rejected")[number % 3],
        "accepted_at": life.at(number - 3),
        "created_at": None if number % 7 == 0 else life.at(number),
        "settled_at": None if number % 3 else life.at(number * 10),
        "cost_micros": None if number % 6 == 0 else number * 1000,
        "duration_ms": None if number % 6 == 1 else number * 500,
        "input_tokens": None if number % 5 == 1 else number,
        "output_tokens": None if number % 5 == 2 else number * 2,
    }
    for number in range(40)
]
TAGS = {number: {"matter": str(number % 2)} | ({"rare": "yes"} if number == 7 else {}) for number in range(40)}
TOOLS = {number: {"webfetch", "web"} if number % 3 else {"search"} for number in range(30)}

COLUMNS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "status": lambda row: row["status"],
    "origin": lambda row: row["origin"],
    "settled_by": lambda row: row["settled_by"],
    "review": lambda row: row["review"] or "none",
    "agent": lambda row: row["agent_id"],
    "model": lambda row: row["model"],
    "accepted": lambda row: row["accepted_at"],
    "created": lambda row: row["created_at"] or row["accepted_at"],
    "settled": lambda row: row["settled_at"],
    "cost": lambda row: row["cost_micros"],
    "duration": lambda row: row["duration_ms"],
    "tokens": lambda row: (
        None if None in (row["input_tokens"], row["output_tokens"]) else row["input_tokens"] + row["output_tokens"]
    ),
}
SCALES: dict[str, Callable[[int], Any]] = {
    "accepted": life.at,
    "created": life.at,
    "settled": lambda value: life.at(value * 10),
    "cost": lambda value: value * 1000,
    "duration": lambda value: value * 500,
    "tokens": lambda value: value * 3,
}
WORDS = {
    "status": [each.value for each in states.Status],
    "origin": [each.value for each in states.Origin],
    "settled_by": [each.value for each in states.Source],
    "review": [each.value for each in states.Reviewed],
    "agent": ["agent_0", "agent_1", "agent_9", "AGENT_0"],
    "model": ["m-0", "m-1"],
    "tag.matter": ["0", "1"],
    "tag.rare": ["yes", "no"],
    "tool": ["webfetch", "web", "search"],
}
OPEN = {"agent": ["agent_", ""], "model": ["m-", "M", ""], "tool": ["web", ""], "tag.matter": [""]}


def _sum(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one + other


def _values(name: str) -> st.SearchStrategy[Value]:
    whole = st.builds(Value, st.sampled_from(WORDS[name]))
    return whole | st.builds(Value, st.sampled_from(OPEN[name]), st.just(True)) if name in OPEN else whole


def _range(name: str) -> st.SearchStrategy[Range]:
    bound = st.none() | st.integers(0, 40).map(SCALES[name])
    return st.builds(Range, bound, bound, st.booleans(), st.booleans())


LEAVES = (
    st.sampled_from(sorted(WORDS)).flatmap(
        lambda n: st.lists(_values(n), min_size=1, max_size=3).map(lambda v: Equals(n, tuple(v)))
    )
    | st.sampled_from(sorted(SCALES)).flatmap(
        lambda n: st.lists(_range(n), min_size=1, max_size=2).map(lambda r: InRange(n, tuple(r)))
    )
    | st.sampled_from(["agent", "model", "cost", "settled", "tag.rare", "tag.none", "tokens"]).map(Exists)
)
QUESTIONS = st.recursive(
    LEAVES,
    lambda inner: (
        st.builds(Not, inner)
        | st.lists(inner, max_size=3).map(lambda parts: And(tuple(parts)))
        | st.lists(inner, min_size=1, max_size=3).map(lambda parts: Or(tuple(parts)))
    ),
    max_leaves=6,
)


@given(QUESTIONS, st.none() | st.builds(index.Window, st.integers(0, 45), st.integers(0, 45)))
def test_the_conditions_choose_what_plain_python_chooses(
    scratch_url: str, wanted: Expression, window: index.Window | None
) -> None:
    with scratch.connected(scratch_url) as connection:
        _insert(connection)
        chosen = select(RUNS.c.seq).where(*conditions.where(connection, wanted, window))
        found = set(connection.execute(chosen).scalars())
    low, high = (0, 100) if window is None else (window.low, window.high)
    there = {number: row for number, row in enumerate(ROWS) if low <= number + 1 < high}
    assert found == {number + 1 for number, row in there.items() if _holds(wanted, number, row)}


def _insert(connection: Connection) -> None:
    connection.execute(RUNS.insert(), [row | {"seq": number + 1} for number, row in enumerate(ROWS)])
    tags = [
        {"run_seq": number + 1, "run_id": f"id{number}", "key": key, "value": value}
        for number, each in TAGS.items()
        for key, value in each.items()
    ]
    connection.execute(RUN_TAGS.insert(), tags)
    used = [
        {"run_seq": number + 1, "run_id": f"id{number}", "name": name}
        for number, each in TOOLS.items()
        for name in each
    ]
    connection.execute(RUN_TOOLS.insert(), used)


def _holds(wanted: Expression, number: int, row: dict[str, Any]) -> bool:
    match wanted:
        case And(parts):
            return all(_holds(part, number, row) for part in parts)
        case Or(parts):
            return any(_holds(part, number, row) for part in parts)
        case Not(part):
            return not _holds(part, number, row)
        case Equals(name, values):
            return any(_is(each, stored) for each in values for stored in _stored(name, number, row))
        case InRange(name, ranges):
            return any(_within(each, COLUMNS[name](row)) for each in ranges)
        case Exists(name):
            return any(stored is not None for stored in _stored(name, number, row))
    raise AssertionError(wanted)


def _stored(name: str, number: int, row: dict[str, Any]) -> list[Any]:
    if name == "tool":
        return sorted(TOOLS.get(number, ()))
    if name.startswith(grammar.TAG_PREFIX):
        return [value for key, value in TAGS[number].items() if key == name.removeprefix(grammar.TAG_PREFIX)]
    return [COLUMNS[name](row)]


def _is(asked: Value, stored: str | None) -> bool:
    if stored is None:
        return False
    return stored.startswith(asked.text) if asked.is_prefix else stored == asked.text


def _within(span: Range, value: Any) -> bool:
    if span.low is None and span.high is None:
        return True
    if value is None:
        return False
    over = span.low is None or (value > span.low if span.excludes_low else value >= span.low)
    return bool(over and (span.high is None or (value < span.high if span.excludes_high else value <= span.high)))


def test_every_phrase_of_a_question_is_seen_wherever_it_stands() -> None:
    expression = grammar.parse("a* OR (-b* status:failed) -(c* OR d)", life.NOW)
    assert ["".join(phrase.words) for phrase in conditions.phrases(expression, with_excluded=True)] == [
        "a",
        "b",
        "c",
        "d",
    ]
