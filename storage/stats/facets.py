"""Statements that count the values of the runs that a list finds: states, agents, models, tags, tools.

They count the newest runs that match, up to a bound. Where the rollups have a number over all runs, it is theirs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, select

from storage.engine import dialect
from storage.engine.membership import is_among
from storage.query import grammar, run_pages
from storage.stats import questions
from storage.tables.runs import RUN_TAGS, RUN_TOOLS, RUNS

#: How many of the newest runs are counted, and the tag keys that are shown.
MAX_COUNTED, MAX_TAG_KEYS = 5_000, 3
#: The names whose values are counted, besides tags.
NAMES = ("status", "agent", "settled_by", "model", "tool")
#: Those whose values are found by the keys of runs; the tools of a run are found by their names alone.
QUICK_NAMES = NAMES[:-1]
_COLUMNS = {
    "status": RUNS.c.status,
    "agent": RUNS.c.agent_id,
    "settled_by": RUNS.c.settled_by,
    "model": RUNS.c.model,
}


@dataclass(frozen=True, slots=True)
class Facet:
    """The values of one name, the commonest first, with the number of runs that have each.

    Where `newest` is set, only that number of the newest runs was counted.
    """

    name: str
    values: Sequence[tuple[str, int]]
    newest: int | None


def find(
    connection: Connection,
    expression: grammar.Expression,
    relaxed: Mapping[str, grammar.Expression],
    bound: int = MAX_COUNTED,
    names: Collection[str] = QUICK_NAMES,
) -> list[Facet]:
    """Return the values of the runs that match, of these names and of the commonest tags.

    `relaxed` has, for each name that the query restricts, the query without it: the other values of the name are
    counted too, so that a person can choose one.
    """
    base = _Counted(connection, expression, bound)
    keys = [each.removeprefix(grammar.TAG_PREFIX) for each in relaxed if grammar.is_tag(each)]
    keys += [key for key in base.tag_keys(connection) if key not in keys][: max(MAX_TAG_KEYS - len(keys), 0)]
    order = [*NAMES[:2], *(f"{grammar.TAG_PREFIX}{key}" for key in keys), *NAMES[2:]]
    wanted = [each for each in order if each in names or each in relaxed or grammar.is_tag(each)]
    return [_facet(connection, name, expression, relaxed, base, bound) for name in wanted]


def _facet(
    connection: Connection,
    name: str,
    expression: grammar.Expression,
    relaxed: Mapping[str, grammar.Expression],
    base: _Counted,
    bound: int,
) -> Facet:
    asked = relaxed.get(name, expression)
    if name in ("status", "agent", "model") and questions.is_rolled_up(name, asked):
        rows = questions.find(connection, name, asked).stats
        return Facet(name, [(row.key, row.count) for row in rows if row.key], None)
    counted = _Counted(connection, asked, bound) if name in relaxed else base
    return Facet(name, counted.values(connection, name), counted.newest)


class _Counted:
    """The newest runs that match, and the numbers of their values."""

    def __init__(self, connection: Connection, expression: grammar.Expression, bound: int) -> None:
        keys = run_pages.newest(connection, expression, bound)
        self.newest = bound if len(keys) > bound else None
        self._keys = keys[:bound]
        self._by_column: dict[str, Counter[str]] | None = None
        self._tags: dict[str, Counter[str]] | None = None

    def values(self, connection: Connection, name: str) -> list[tuple[str, int]]:
        """Return the values of a name, the commonest first."""
        if name == "tool":
            rows = connection.execute(_tools(connection), {"seqs": self._keys}).all()
            return _sorted(Counter({row[0]: row[1] for row in rows}))
        if grammar.is_tag(name):
            return _sorted(self._tag_values(connection).get(name.removeprefix(grammar.TAG_PREFIX), Counter()))
        if self._by_column is None:
            self._by_column = self._count(connection)
        return _sorted(self._by_column[name])

    def tag_keys(self, connection: Connection) -> list[str]:
        """Return the keys of tags, those of the most runs first."""
        by_key = {key: counts.total() for key, counts in self._tag_values(connection).items()}
        return [key for key, _ in _sorted(Counter(by_key))]

    def _count(self, connection: Connection) -> dict[str, Counter[str]]:
        found: dict[str, Counter[str]] = {name: Counter() for name in _COLUMNS}
        for *values, number in connection.execute(_columns(connection), {"seqs": self._keys}):
            for counter, value in zip(found.values(), values, strict=True):
                if value is not None:
                    counter[value] += number
        return found

    def _tag_values(self, connection: Connection) -> dict[str, Counter[str]]:
        if self._tags is None:
            self._tags = {}
            for key, value, number in connection.execute(_tag_counts(connection), {"seqs": self._keys}):
                self._tags.setdefault(key, Counter())[value] = number
        return self._tags


def _sorted(counter: Counter[str]) -> list[tuple[str, int]]:
    return sorted(counter.items(), key=lambda each: (-each[1], each[0]))


@dialect.built_once
def _columns(_connection: Connection) -> Any:
    columns = [*_COLUMNS.values()]
    return select(*columns, func.count()).where(is_among(RUNS.c.seq, "seqs")).group_by(*columns)


@dialect.built_once
def _tag_counts(_connection: Connection) -> Any:
    keys = (RUN_TAGS.c.key, RUN_TAGS.c.value)
    return select(*keys, func.count()).where(is_among(RUN_TAGS.c.run_seq, "seqs")).group_by(*keys)


@dialect.built_once
def _tools(_connection: Connection) -> Any:
    number = func.count().label("number")
    return select(RUN_TOOLS.c.name, number).where(is_among(RUN_TOOLS.c.run_seq, "seqs")).group_by(RUN_TOOLS.c.name)
