"""What a question of the filter language means in SQL.

What is told of a run elsewhere (its words, tags, tools) is looked up by the run's key, and within a window of keys
where one is given: who wants the newest of many looks at few of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, false, func, not_, or_, select, true

from storage import filters, search, spans, words
from storage.tables import RUN_TAGS, RUN_TOOLS, RUNS

#: Input and output together; null where one of them is not known.
TOKENS = RUNS.c.input_tokens + RUNS.c.output_tokens
#: When the upstream created it; what was never created there counts by its acceptance.
CREATED = func.coalesce(RUNS.c.created_at, RUNS.c.accepted_at)
COLUMNS: dict[str, ColumnElement[Any]] = {
    "status": RUNS.c.status,
    "origin": RUNS.c.origin,
    "settled_by": RUNS.c.settled_by,
    "agent": RUNS.c.agent_id,
    "model": RUNS.c.model,
    "submitted_by": RUNS.c.submitted_by,
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
#: Columns that are never null and have few values: an index finds the others of them.
_ALWAYS = ("status", "origin")
#: Columns of which an index finds the runs that have a value.
_INDEXED = ("agent", "status", "model", "submitted_by")


def where(
    connection: Connection, wanted: filters.Expression, window: search.Window | None = None
) -> list[ColumnElement[bool]]:
    """The conditions on `runs` that a question stands for, all of which must hold."""
    bounds = [] if window is None else [RUNS.c.seq >= window.low, RUNS.c.seq < window.high]
    parts = wanted.parts if isinstance(wanted, filters.All) else (wanted,)
    return bounds + [_condition(connection, part, window) for part in parts]


def is_elsewhere(wanted: filters.Expression) -> bool:
    """Whether something is asked that no index of `runs` answers by itself: then one looks window by window."""
    match wanted:
        case filters.All(parts):
            return any(map(is_elsewhere, parts))
        case filters.Is(name, values):
            return name not in COLUMNS or any(each.open_ended for each in values)
        case filters.Within():
            return False
    return True


def is_in_order(wanted: filters.Expression) -> bool:
    """Whether an index has the runs that are asked for in the order of their acceptance: few are looked at then.

    That of an agent's runs has them state by state, and no index has two values in one order: then a database
    gathers all that there are and sorts them, unless one looks window by window.
    """
    parts = wanted.parts if isinstance(wanted, filters.All) else (wanted,)
    chosen = {each.name: len(each.values) for each in parts if isinstance(each, filters.Is)}
    indexed = {name: chosen[name] for name in _INDEXED if name in chosen}
    is_scattered = "submitted_by" in indexed or ("agent" in indexed and "status" not in indexed)
    return not is_scattered and all(count == 1 for count in indexed.values())


def acceptance(wanted: filters.Expression) -> ColumnElement[bool] | None:
    """What is asked of the time of acceptance, the order of keys but for imported runs; None for nothing."""
    parts = wanted.parts if isinstance(wanted, filters.All) else (wanted,)
    asked = [part for part in parts if isinstance(part, filters.Within) and part.name == "accepted"]
    if not asked:
        return None
    return and_(*(or_(*(_within(COLUMNS["accepted"], each) for each in part.ranges)) for part in asked))


def phrases(wanted: filters.Expression) -> Iterator[words.Phrase]:
    """What a run that is found may say, in the order in which it is asked for."""
    match wanted:
        case filters.Says(phrase):
            yield phrase
        case filters.All(parts) | filters.Either(parts):
            for part in parts:
                yield from phrases(part)


def says(wanted: filters.Expression) -> bool:
    """Whether words are asked for."""
    return next(phrases(wanted), None) is not None


def at_most(wanted: filters.Expression, *, is_not: bool = False) -> filters.Expression:
    """The same without regard to words: what every run answers to that may be wanted, whatever its texts say."""
    match wanted:
        case filters.Says():
            return filters.Either(()) if is_not else filters.EVERYTHING
        case filters.Not(part):
            return filters.Not(at_most(part, is_not=not is_not))
        case filters.All(parts):
            return filters.All(tuple(at_most(part, is_not=is_not) for part in parts))
        case filters.Either(parts):
            return filters.Either(tuple(at_most(part, is_not=is_not) for part in parts))
    return wanted


def _condition(
    connection: Connection, wanted: filters.Expression, window: search.Window | None
) -> ColumnElement[bool]:
    match wanted:
        case filters.All(parts):
            return and_(true(), *(_condition(connection, part, window) for part in parts))
        case filters.Either(parts):
            return or_(false(), *(_condition(connection, part, window) for part in parts))
        case filters.Not(part):
            return _negated(connection, part, window)
        case filters.Is(name, values):
            return _is(name, values, window)
        case filters.Within(name, ranges):
            return or_(*(_within(COLUMNS[name], each) for each in ranges))
        case filters.Has(name):
            return _has(name, window)
        case filters.Says(phrase):
            return RUNS.c.seq.in_(search.saying(connection, phrase, window))


def _negated(
    connection: Connection, part: filters.Expression, window: search.Window | None
) -> ColumnElement[bool]:
    """A run of which it is not known is one of which it does not hold."""
    if isinstance(part, filters.Is) and part.name in _ALWAYS:
        others = {each.value for each in filters.CHOICES[part.name]} - {each.text for each in part.values}
        return COLUMNS[part.name].in_(sorted(others))
    return not_(func.coalesce(_condition(connection, part, window), false()))


def _is(name: str, values: Sequence[filters.Value], window: search.Window | None) -> ColumnElement[bool]:
    if name == "tool":
        return _listed(RUN_TOOLS, _matches(RUN_TOOLS.c.name, values), window)
    if name.startswith(filters.TAG):
        is_key = RUN_TAGS.c.key == name.removeprefix(filters.TAG)
        return _listed(RUN_TAGS, and_(is_key, _matches(RUN_TAGS.c.value, values)), window)
    return _matches(COLUMNS[name], values)


def _matches(column: ColumnElement[Any], values: Sequence[filters.Value]) -> ColumnElement[bool]:
    whole = [each.text for each in values if not each.open_ended]
    found = [] if not whole else [column.in_(whole) if len(whole) > 1 else column == whole[0]]
    # No LIKE: whether that is particular about case depends on the database.
    found += [func.substr(column, 1, len(each.text)) == each.text for each in values if each.open_ended]
    return or_(*found)


def _listed(table: Any, which: ColumnElement[bool], window: search.Window | None) -> ColumnElement[bool]:
    chosen = select(table.c.run_seq).where(which)
    if window is not None:
        chosen = chosen.where(table.c.run_seq >= window.low, table.c.run_seq < window.high)
    return RUNS.c.seq.in_(chosen)


def _has(name: str, window: search.Window | None) -> ColumnElement[bool]:
    if name == "steps":
        return RUNS.c.step_count > 0
    if name.startswith(filters.TAG):
        return _listed(RUN_TAGS, RUN_TAGS.c.key == name.removeprefix(filters.TAG), window)
    if name == "created":  # whether the upstream ever created it
        return RUNS.c.created_at.is_not(None)
    return COLUMNS[name].is_not(None)


def _within(column: ColumnElement[Any], span: spans.Range) -> ColumnElement[bool]:
    found: list[ColumnElement[bool]] = []
    if span.low is not None:
        found.append(column > span.low if span.above else column >= span.low)
    if span.high is not None:
        found.append(column < span.high if span.below else column <= span.high)
    return and_(true(), *found)
