"""Deciding which fault strikes: the switches as rules, their counts, and one seeded source of chance."""

from __future__ import annotations

import collections
import random
from collections.abc import Iterable, Iterator

from receiver.sandbox import faults, rules

Place = tuple[str, int]


class Chaos:
    """The switches now in force. `pick` and `chance` draw from the seed, so that a story can be told again."""

    def __init__(self, switches: faults.Faults, seed: int) -> None:
        self._random = random.Random(f"{seed}:faults")
        self._used: collections.Counter[Place] = collections.Counter()
        self._install(switches)

    def change(self, switches: faults.Faults, names: Iterable[str]) -> None:
        """Put new switches in force; the counts of the switches called `names` begin anew."""
        begun = set(names)
        self._used = collections.Counter({key: n for key, n in self._used.items() if key[0] not in begun})
        self._install(switches)

    def chance(self, rate: float) -> bool:
        return rate > 0 and self._random.random() < rate

    def pick(self, subject: rules.Subject) -> rules.Rule | None:
        """The first rule that strikes this call, with one of its times spent; None for an ordinary call."""
        for place, rule in self._rules:
            spent = rule.times is not None and self._used[place] >= rule.times
            if spent or not rule.matches(subject):
                continue
            if rule.probability < 1 and not self.chance(rule.probability):
                continue
            self._used[place] += 1
            return rule
        return None

    def _install(self, switches: faults.Faults) -> None:
        self.faults = switches
        self._rules: list[tuple[Place, rules.Rule]] = []
        # A place counts within its own switch, so that a change elsewhere does not move it.
        within: collections.Counter[str] = collections.Counter()
        for source, rule in _rules(switches):
            self._rules.append(((source, within[source]), rule))
            within[source] += 1


def _rules(switches: faults.Faults) -> Iterator[tuple[str, rules.Rule]]:
    """Every rule in force with the name of its switch: the script first, then what concerns the whole house."""
    for rule in switches.script:
        yield "script", rule
    if switches.down:
        yield "down", rules.Rule("refuse_before")
    if switches.unauthorized:
        yield "unauthorized", rules.Rule("status:401")
    if switches.withdrawn:
        for route in rules.AGENT_ROUTES:
            yield "withdrawn", rules.Rule(f"status:{switches.withdrawn}", route)
    if switches.rate_limit:
        yield "rate_limit", rules.Rule("status:429", probability=switches.rate_limit)
    yield from _rules_of_runs(switches)
    yield from _rules_by_route(switches)


def _rules_of_runs(switches: faults.Faults) -> Iterator[tuple[str, rules.Rule]]:
    for name in switches.not_found:
        for route in rules.RUN_ROUTES:
            yield from (("not_found", rule) for rule in _naming(name, route, "status:404"))
    for name in switches.broken_runs:
        for route in ("details", "get"):
            yield from (("broken_runs", rule) for rule in _naming(name, route, "status:500"))


def _naming(name: str, route: str, action: str) -> tuple[rules.Rule, ...]:
    if name == "*":
        return (rules.Rule(action, route),)
    return rules.Rule(action, route, run=name), rules.Rule(action, route, prompt=name)


def _rules_by_route(switches: faults.Faults) -> Iterator[tuple[str, rules.Rule]]:
    for route in rules.API_ROUTES:
        if times := switches.lose_answer.get(route):
            yield "lose_answer", rules.Rule("lose_answer", route, times=int(times))
        if rate := switches.error_rate.get(route):
            yield "error_rate", rules.Rule(f"status:{switches.error_status}", route, probability=rate)
        if rate := switches.malformed.get(route):
            yield "malformed", rules.Rule("malformed", route, probability=rate)
        if rate := switches.truncated.get(route):
            yield "truncated", rules.Rule("truncated", route, probability=rate)
