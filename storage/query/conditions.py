"""Translation of filter expressions into SQL conditions.

Words, tags and tools of a run are in tables of their own. They are looked up by the run's key, within a window of
keys where one is given, so that a page of the newest runs reads few of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, and_, false, func, not_, or_, select, true

from storage import states
from storage.query import agents, grammar, value_ranges
from storage.search import index, tokenizer
from storage.tables.runs import RUN_TAGS, RUN_TOOLS, RUNS

#: Input and output tokens together; null where either is unknown.
TOKENS = RUNS.c.input_tokens + RUNS.c.output_tokens
#: When the run was created upstream; a run that never was counts by its acceptance.
CREATED = func.coalesce(RUNS.c.created_at, RUNS.c.accepted_at)
COLUMNS: dict[str, ColumnElement[Any]] = {
    "id": RUNS.c.id,
    "status": RUNS.c.status,
    "origin": RUNS.c.origin,
    "settled_by": RUNS.c.settled_by,
    "agent": RUNS.c.agent_id,
    "model": RUNS.c.model,
    "submitted_by": RUNS.c.submitted_by,
    "again_of": RUNS.c.again_of,
    "review": RUNS.c.review,
    "accepted": RUNS.c.accepted_at,
    "created": CREATED,
    "settled": RUNS.c.settled_at,
    "cost": RUNS.c.cost_micros,
    "duration": RUNS.c.duration_ms,
    "tokens": TOKENS,
    "guidance": RUNS.c.guidance,
    "output": RUNS.c.output,
    "summary": RUNS.c.summary,
    "failure_reason": RUNS.c.failure_reason,
}
#: Columns that are never null and have few values: an index finds their other values.
_NEVER_NULL = ("status", "origin")
#: Columns whose index finds the runs with a value.
_INDEXED = ("agent", "status", "model", "submitted_by")


def where(
    connection: Connection, expression: grammar.Expression, window: index.Window | None = None
) -> list[ColumnElement[bool]]:
    """Return the conditions on `runs` for an expression, all of which must hold."""
    bounds = [] if window is None else [RUNS.c.seq >= window.low, RUNS.c.seq < window.high]
    by_ids = by_agent_ids(connection, expression)
    return bounds + [_condition(connection, part, window) for part in grammar.conjuncts(by_ids)]


#: Returns an expression with ids in place of the names of agents.
by_agent_ids = agents.resolved


def single_values(expression: grammar.Expression) -> dict[str, str] | None:
    """Return the value of each name where the expression demands one whole value of each, else None."""
    values: dict[str, str] = {}
    for part in grammar.conjuncts(expression):
        match part:
            case grammar.Equals(name, (grammar.Value(text, False),)) if name not in values:
                values[name] = text
            case _:
                return None
    return values


def needs_lookup(expression: grammar.Expression) -> bool:
    """Return whether no index of `runs` answers the expression alone, so that it is read window by window."""
    match expression:
        case grammar.And(parts):
            return any(map(needs_lookup, parts))
        case grammar.Equals(name, values):
            return name not in COLUMNS or any(each.is_prefix for each in values)
        case grammar.InRange():
            return False
    return True


def has_index_order(expression: grammar.Expression) -> bool:
    """Return whether an index has the matching runs in the order of acceptance, so that few rows are read.

    The index of an agent's runs has them state by state, and no index has two values in one order: a database
    would collect all matching runs and sort them, unless they are read window by window.
    """
    parts = grammar.conjuncts(expression)
    value_counts = {each.name: len(each.values) for each in parts if isinstance(each, grammar.Equals)}
    indexed = {name: value_counts[name] for name in _INDEXED if name in value_counts}
    is_scattered = "submitted_by" in indexed or ("agent" in indexed and "status" not in indexed)
    return not is_scattered and all(count == 1 for count in indexed.values())


def acceptance_bounds(expression: grammar.Expression) -> ColumnElement[bool] | None:
    """Return the condition on the time of acceptance, if any. Except for imports, keys are in this order."""
    parts = grammar.conjuncts(expression)
    terms = [part for part in parts if isinstance(part, grammar.InRange) and part.name == "accepted"]
    if not terms:
        return None
    return and_(*(or_(*(_in_range(COLUMNS["accepted"], each) for each in part.ranges)) for part in terms))


def phrases(expression: grammar.Expression, *, with_excluded: bool = False) -> Iterator[tokenizer.Phrase]:
    """Return the phrases that a matching run may contain, in the order of the query.

    `with_excluded` returns also those that it must not contain.
    """
    match expression:
        case grammar.Phrase(phrase):
            yield phrase
        case grammar.And(parts) | grammar.Or(parts):
            for part in parts:
                yield from phrases(part, with_excluded=with_excluded)
        case grammar.Not(part) if with_excluded:
            yield from phrases(part, with_excluded=True)


def only_phrase(expression: grammar.Expression) -> tokenizer.Phrase | None:
    """Return the phrase that is all that the expression demands; None where it demands anything else."""
    parts = grammar.conjuncts(expression)
    return parts[0].phrase if len(parts) == 1 and isinstance(parts[0], grammar.Phrase) else None


def has_phrases(expression: grammar.Expression) -> bool:
    """Return whether the expression has phrases."""
    return next(phrases(expression), None) is not None


def without_phrases(expression: grammar.Expression, *, is_not: bool = False) -> grammar.Expression:
    """Return the expression without its phrases: it matches every run that could match, whatever its texts are."""
    match expression:
        case grammar.Phrase():
            return grammar.Or(()) if is_not else grammar.EVERYTHING
        case grammar.Not(part):
            return grammar.Not(without_phrases(part, is_not=not is_not))
        case grammar.And(parts) | grammar.Or(parts):
            return type(expression)(tuple(without_phrases(part, is_not=is_not) for part in parts))
    return expression


def _condition(
    connection: Connection, expression: grammar.Expression, window: index.Window | None
) -> ColumnElement[bool]:
    match expression:
        case grammar.And(parts):
            return and_(true(), *(_condition(connection, part, window) for part in parts))
        case grammar.Or(parts):
            return or_(false(), *(_condition(connection, part, window) for part in parts))
        case grammar.Not(part):
            return _negated(connection, part, window)
        case grammar.Equals(name, values):
            return _equals(name, values, window)
        case grammar.InRange(name, ranges):
            return or_(*(_in_range(COLUMNS[name], each) for each in ranges))
        case grammar.Exists(name):
            return _exists(name, window)
        case grammar.Phrase(phrase):
            return RUNS.c.seq.in_(index.runs_with(connection, phrase, window))


def _negated(connection: Connection, part: grammar.Expression, window: index.Window | None) -> ColumnElement[bool]:
    """Negate a condition; a run whose value is unknown matches the negation."""
    if isinstance(part, grammar.Equals) and part.name in _NEVER_NULL:
        others = {each.value for each in grammar.CHOICES[part.name]} - {each.text for each in part.values}
        return COLUMNS[part.name].in_(sorted(others))
    return not_(func.coalesce(_condition(connection, part, window), false()))


def _equals(name: str, values: Sequence[grammar.Value], window: index.Window | None) -> ColumnElement[bool]:
    if name == "tool":
        return _in_table(RUN_TOOLS, _matches(RUN_TOOLS.c.name, values), window)
    if name.startswith(grammar.TAG_PREFIX):
        is_key = RUN_TAGS.c.key == name.removeprefix(grammar.TAG_PREFIX)
        return _in_table(RUN_TAGS, and_(is_key, _matches(RUN_TAGS.c.value, values)), window)
    if name == "review":
        return _judged(values)
    return _matches(COLUMNS[name], values)


def _judged(values: Sequence[grammar.Value]) -> ColumnElement[bool]:
    judgements = [each for each in values if each.text != states.Reviewed.NONE]
    found = [_matches(RUNS.c.review, judgements)] if judgements else []
    return or_(*found, *([RUNS.c.review.is_(None)] if len(judgements) < len(values) else []))


def _matches(column: ColumnElement[Any], values: Sequence[grammar.Value]) -> ColumnElement[bool]:
    exact = [each.text for each in values if not each.is_prefix]
    found = [] if not exact else [column.in_(exact) if len(exact) > 1 else column == exact[0]]
    # No LIKE: whether it respects case depends on the database.
    found += [func.substr(column, 1, len(each.text)) == each.text for each in values if each.is_prefix]
    return or_(*found)


def _in_table(table: Table, which: ColumnElement[bool], window: index.Window | None) -> ColumnElement[bool]:
    chosen = select(table.c.run_seq).where(which)
    if window is not None:
        chosen = chosen.where(table.c.run_seq >= window.low, table.c.run_seq < window.high)
    return RUNS.c.seq.in_(chosen)


def _exists(name: str, window: index.Window | None) -> ColumnElement[bool]:
    if name == "steps":
        return RUNS.c.step_count > 0
    if name.startswith(grammar.TAG_PREFIX):
        return _in_table(RUN_TAGS, RUN_TAGS.c.key == name.removeprefix(grammar.TAG_PREFIX), window)
    if name == "created":  # created upstream, not only accepted
        return RUNS.c.created_at.is_not(None)
    return COLUMNS[name].is_not(None)


def _in_range(column: ColumnElement[Any], span: value_ranges.Range) -> ColumnElement[bool]:
    found: list[ColumnElement[bool]] = []
    if span.low is not None:
        found.append(column > span.low if span.excludes_low else column >= span.low)
    if span.high is not None:
        found.append(column < span.high if span.excludes_high else column <= span.high)
    return and_(true(), *found)
