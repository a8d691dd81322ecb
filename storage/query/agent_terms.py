"""Terms about agents: a name stands for the ids of all agents that have it, a word that is an id for itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from sqlalchemy import Connection

from storage.query import grammar
from storage.repositories import agents

#: Returns the ids that a value means, none where it is no name.
Meaning = Callable[[grammar.Value], Sequence[str]]


def resolved(connection: Connection, expression: grammar.Expression) -> grammar.Expression:
    """Return the expression with ids in place of the names of agents."""
    values = list(_values(expression))
    if not values:
        return expression
    words = [each.text for each in values if not each.is_prefix]
    known = agents.meant(connection, words) if words else {}
    begun = {each.text: agents.beginning(connection, each.text) for each in values if each.is_prefix}
    return with_ids(expression, lambda value: (begun if value.is_prefix else known).get(value.text, ()))


def by_names(names: Mapping[str, str]) -> Meaning:
    """Return what values mean by the names of agents that are given by their ids."""

    def meaning(value: grammar.Value) -> Sequence[str]:
        fits = str.startswith if value.is_prefix else str.__eq__
        if any(fits(agent, value.text) for agent in names):
            return ()
        return [agent for agent, name in names.items() if fits(name, value.text)]

    return meaning


def with_ids(expression: grammar.Expression, meaning: Meaning) -> grammar.Expression:
    """Return the expression with what the values about agents mean in their place."""
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
