"""The upstream's agents: their names, whether some are missing, and the terms of a filter about them.

In a term a name means the ids of all agents that have it; an id means itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, delete, exists, func, or_, select

from storage.engine import bulk_insert, prepared
from storage.engine.column_types import instant
from storage.engine.membership import is_among
from storage.query import grammar
from storage.tables.agents import AGENTS
from storage.tables.runs import RUNS

#: The most agents that are kept: those that the upstream's list had last.
MOST = 10_000
#: The newest runs that are searched for an agent without a name.
NEWEST = 200
#: Returns the ids that a value means, none where it is no name.
Meaning = Callable[[grammar.Value], Sequence[str]]
_AGENT = AGENTS.c
_RENAMED = " ON CONFLICT (id) DO UPDATE SET name = excluded.name, seen_at = excluded.seen_at"


def keep(connection: Connection, names: Mapping[str, str], now: datetime) -> None:
    """Store the names of agents, by their ids, that the upstream's list shows at `now`."""
    rows = [{"id": each, "name": name, "seen_at": now} for each, name in sorted(names.items())]
    bulk_insert.insert(connection, AGENTS, rows, _RENAMED)
    oldest = select(_AGENT.seen_at).order_by(_AGENT.seen_at.desc()).offset(MOST).limit(1).scalar_subquery()
    connection.execute(delete(AGENTS).where(_AGENT.seen_at <= oldest, _AGENT.seen_at < instant(now)))


def names(connection: Connection) -> dict[str, str]:
    """Return the names of all agents by their ids."""
    return {row.id: row.name for row in _ALL.all(connection, {})}


def seen_at(connection: Connection) -> datetime | None:
    """Return when the upstream's list was last stored, None where it never had an agent."""
    found: datetime | None = connection.execute(select(func.max(_AGENT.seen_at))).scalar_one()
    return found


def has_unknown(connection: Connection, since: datetime) -> bool:
    """Return whether a run accepted after an instant, of the newest ones, names an agent without a name.

    An agent that was made for one run alone is in no list.
    """
    newest = select(RUNS.c.agent_id, RUNS.c.accepted_at, RUNS.c.instructions).order_by(RUNS.c.seq.desc())
    run = newest.limit(NEWEST).subquery().c
    is_named = exists().where(_AGENT.id == run.agent_id)
    which = (run.accepted_at > instant(since), run.agent_id.is_not(None), run.instructions.is_(None), ~is_named)
    return connection.execute(select(run.agent_id).where(*which).limit(1)).first() is not None


def meant(connection: Connection, words: Sequence[str]) -> dict[str, list[str]]:
    """Return the ids of all agents with a name, for each word that is a name and no agent's id."""
    rows = _MEANT.all(connection, {"words": words})
    own = {row.id for row in rows}
    found: dict[str, list[str]] = {}
    for row in rows:
        if row.name in words and row.name not in own:
            found.setdefault(row.name, []).append(row.id)
    used = {row.agent_id for row in _USED.all(connection, {"words": list(found)})} if found else set()
    return {name: agents for name, agents in found.items() if name not in used}


def beginning(connection: Connection, word: str) -> list[str]:
    """Return the ids of the agents whose names begin with a word; none where an id begins with it."""
    if connection.execute(select(_AGENT.id).where(_begins(_AGENT.id, word)).limit(1)).first() is not None:
        return []
    named = select(_AGENT.id).where(_begins(_AGENT.name, word)).order_by(_AGENT.id)
    return list(connection.execute(named).scalars())


def _begins(column: ColumnElement[str], word: str) -> ColumnElement[bool]:
    return func.substr(column, 1, len(word)) == word


def resolved(connection: Connection, expression: grammar.Expression) -> grammar.Expression:
    """Return the expression with ids in place of the names of agents."""
    values = list(_values(expression))
    if not values:
        return expression
    words = [each.text for each in values if not each.is_prefix]
    known = meant(connection, words) if words else {}
    begun = {each.text: beginning(connection, each.text) for each in values if each.is_prefix}
    return with_ids(expression, lambda value: (begun if value.is_prefix else known).get(value.text, ()))


def by_names(names: Mapping[str, str]) -> Meaning:
    """Return a function from a value to the ids that it means; `names` are the names of agents by their ids."""

    def meaning(value: grammar.Value) -> Sequence[str]:
        fits = str.startswith if value.is_prefix else str.__eq__
        if any(fits(agent, value.text) for agent in names):
            return ()
        return [agent for agent, name in names.items() if fits(name, value.text)]

    return meaning


def with_ids(expression: grammar.Expression, meaning: Meaning) -> grammar.Expression:
    """Return the expression with the names of agents replaced by the ids that `meaning` returns."""
    match expression:
        case grammar.And(parts) | grammar.Or(parts):
            return type(expression)(tuple(with_ids(part, meaning) for part in parts))
        case grammar.Not(part):
            return grammar.Not(with_ids(part, meaning))
        case grammar.Equals("agent", values):
            meant = {each: meaning(each) for each in values}
            ids = (grammar.Value(agent) for each in values for agent in meant[each])
            kept = (each for each in values if each.is_prefix or not meant[each])
            return grammar.Equals("agent", tuple(dict.fromkeys((*kept, *ids))))
    return expression


def _values(expression: grammar.Expression) -> Iterator[grammar.Value]:
    match expression:
        case grammar.And(parts) | grammar.Or(parts):
            for part in parts:
                yield from _values(part)
        case grammar.Not(part):
            yield from _values(part)
        case grammar.Equals("agent", values):
            yield from values


_ALL = prepared.Prepared(
    lambda _: select(_AGENT.id, _AGENT.name).order_by(_AGENT.seen_at.desc(), _AGENT.id).limit(MOST)
)
_MEANT = prepared.Prepared(
    lambda _: (
        select(_AGENT.id, _AGENT.name)
        .where(or_(is_among(_AGENT.id, "words"), is_among(_AGENT.name, "words")))
        .order_by(_AGENT.id)
    )
)
_USED = prepared.Prepared(lambda _: select(RUNS.c.agent_id).where(is_among(RUNS.c.agent_id, "words")).distinct())
