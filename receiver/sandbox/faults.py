"""The switches of the faults: everything that is unknown, unreliable or broken about the real service.

    switches = faults.parse(["callback_duplicates=2", "error_rate.exec=0.5"])
    switches = faults.merged(switches, {"latency": 0.2, "script": [{"route": "create", "action": "lose_answer"}]})

Named switches cover the common cases; `script` is the general form, a list of rules (`rules.Rule`) that say
which calls are hit, how often, and how. Times are seconds, rates are probabilities from 0 to 1. The `Injector`
turns the switches into rules and picks the one that applies to a call.
"""

from __future__ import annotations

import collections
import dataclasses
import itertools
import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from receiver.sandbox import rules, values

T = TypeVar("T")
FaultError = values.FaultError

ENDED = ("completed", "failed", "cancelled")
BODIES = ("minimal", "rich", "id", "run.id", "data.runId", "run_id")
SHAPES = ("status", "nested", "text", "flag", "html", "empty")
ENCODINGS = ("base64", "hex", "raw")


def _switch(about: str, default: T, read: values.Reader[T]) -> T:
    return dataclasses.field(default=default, metadata={"read": read, "about": about})


def _flag(about: str, default: bool = False) -> bool:
    return _switch(about, default, values.boolean)


def _count(about: str, default: int = 0, low: int = 0, high: int = 10_000) -> int:
    return _switch(about, default, values.integer(low, high))


def _rate(about: str) -> float:
    return _switch(about, 0.0, values.number(0, 1))


def _seconds(about: str, default: float = 0.0) -> float:
    return _switch(about, default, values.number(0, 86_400))


def _word(about: str, allowed: tuple[str, ...]) -> str:
    return _switch(about, allowed[0], values.choice(allowed))


def _states(about: str) -> tuple[str, ...]:
    return _switch(about, ENDED, values.choices(ENDED))


def _texts(about: str) -> tuple[str, ...]:
    return _switch(about, (), values.texts)


def _by_route(about: str, read: values.Reader[float]) -> Mapping[str, float]:
    metadata = {"read": values.mapping(read, rules.API_ROUTES), "about": about}
    return dataclasses.field(default_factory=dict, metadata=metadata)


_share = values.number(0, 1)
_number = values.integer(0, 10_000)
_status = values.choice(("0", "404", "405", "410"))
_withdrawn = values.Reader(lambda value: int(_status(str(value).strip())), _status.takes)


@dataclasses.dataclass(frozen=True)
class Faults:
    """One frozen setting of all switches; by default nothing goes wrong."""

    callback_body: str = _word("what a watcher is sent: the run's id, a full report, or another form", BODIES)
    callback_states: tuple[str, ...] = _states("the terminal states that call watchers back")
    callback_duplicates: int = _count("extra copies of each callback")
    callback_delay: float = _seconds("seconds between the end of a run and its callback")
    callback_drop_rate: float = _rate("share of callbacks that are never sent")
    callback_retries: int = _count("further attempts after a callback that did not get a 2xx")
    callback_before_exec_answer: bool = _flag("exec answers only when the run has ended and its callbacks are out")
    callback_wrong_run_id: bool = _flag("callbacks name another run than their own")
    event_states: tuple[str, ...] = _states("the terminal states that make platform events")
    event_started: bool = _flag("send agent.run.started too, where the filter matches")
    event_duplicates: int = _count("extra deliveries of each event: the same event, another delivery id")
    event_delay: float = _seconds("seconds between the end of a run and its event")
    event_drop_rate: float = _rate("share of events that are never sent")
    event_retries: int = _count("further attempts after no answer, 408, 429 or 5xx; other 4xx lose it", 5)
    event_forged: bool = _flag("events are signed with a key that is not the endpoint's")
    event_disorder: float = _seconds(
        "events arrive in the wrong order: each waits so long to be passed by the next"
    )
    event_missed_recorded: bool = _flag("events for inactive endpoints are kept as failed deliveries", True)
    auto_disable_after: int = _count("failed deliveries in a row that auto_disable an endpoint, 0 for never", 50)
    event_key_encoding: str = _word("how the secrets of new endpoints hold the key after whsec_", ENCODINGS)
    retry_backoff: float = _seconds("seconds before the first retry of a callback or event, then double", 0.2)
    stream_heartbeat: float = _seconds("seconds between comments in a stream of events, 0 for none")
    stream_delay: float = _seconds("seconds before each event of a stream")
    stream_cut_after: int = _count("events after which every stream is cut, 0 for never")
    stream_stall_after: int = _count("events after which a stream stays open without a byte, 0 for never")
    stream_repeats: int = _count("extra copies of each event of a stream, under the same id")
    stream_junk: bool = _flag("unreadable events and lines in every stream")
    stream_padding: int = _count("bytes added to the data of each event of a stream", high=50_000_000)
    stream_kept: int = _count("events of a run, the newest, that are kept for a replay", 10_000)
    stream_slow_reader: float = _seconds("seconds after which a slow reader of a stream is cut off, 0 for never")
    stream_stays_open: bool = _flag("streams stay open after their last event, as though more were to come")
    fail_rate: float = _rate("share of runs that fail; the seed decides which")
    fail_prompts: tuple[str, ...] = _texts("runs whose prompt contains one of these fail")
    incomplete_seconds: float = _seconds("seconds after its end for which a run's details lack result and usage")
    incomplete_fetches: int = _count("fetches after its end in which a run's details lack both")
    details_padding: int = _count(
        "bytes of further steps, floats and words, in the details of ended runs", high=60_000_000
    )
    broken_runs: tuple[str, ...] = _texts("details of these runs answer 500: run ids, or pieces of their prompts")
    not_found: tuple[str, ...] = _texts(
        "runs that answer 404 everywhere but in the list: ids, parts of prompts, or *"
    )
    latency: float = _seconds("seconds added to every API call")
    error_rate: Mapping[str, float] = _by_route("share of calls, by route, that fail with error_status", _share)
    error_status: int = _count("the status of error_rate", 500, 400, 599)
    error_shape: str = _word("the form of every error body", SHAPES)
    rate_limit: float = _rate("share of API calls answered 429")
    calls_per_minute: int = _count(
        "the value of x-ratelimit-limit, counted down but not enforced", 100_000, 1, 1_000_000
    )
    retry_after: str = _switch(
        "Retry-After on 429 and 503: empty, N for seconds, date:N for a date", "", values.retry_after
    )
    malformed: Mapping[str, float] = _by_route("share of answers, by route, that are not JSON", _share)
    truncated: Mapping[str, float] = _by_route("share of answers, by route, that stop half-way", _share)
    lose_answer: Mapping[str, float] = _by_route("next N calls, by route, that are done and then cut", _number)
    unauthorized: bool = _flag("every API call answers 401")
    withdrawn: int = _switch("every agent route answers this status, 0 for none", 0, _withdrawn)
    down: bool = _flag("every connection is cut before the call is read")
    script: tuple[rules.Rule, ...] = _switch(
        "rules; they come before the switches; the first match wins", (), rules.script
    )


FIELDS = {field.name: field for field in dataclasses.fields(Faults)}


def parse(assignments: Iterable[str]) -> Faults:
    """Return Faults from `NAME=VALUE` texts; `NAME.ROUTE=VALUE` sets one route of a switch that is set by route.

    Raises FaultError with a sentence that names the switch, and the nearest known name for an unknown one.
    """
    faults = Faults()
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not equals:
            raise FaultError(f"{assignment!r} is not of the form NAME=VALUE")
        name, dot, route = name.strip().partition(".")
        if not dot:
            faults = merged(faults, {name: value})
            continue
        current = getattr(faults, _known(name))
        if not isinstance(current, Mapping):
            raise FaultError(f"{name} is not set by route")
        faults = merged(faults, {name: {**current, route: value}})
    return faults


def merged(faults: Faults, changes: Mapping[str, object]) -> Faults:
    """Return `faults` with `changes` in JSON or text form; raises FaultError where one of them is wrong."""
    read: dict[str, Any] = {}
    for name, value in changes.items():
        reader = FIELDS[_known(name)].metadata["read"]
        try:
            read[name] = reader(value)
        except FaultError as error:
            raise FaultError(f"{name}: {error}") from None
    return dataclasses.replace(faults, **read)


def as_json(faults: Faults) -> dict[str, object]:
    """Return every switch by name, in the form that `merged` takes back."""
    shown: dict[str, object] = {name: getattr(faults, name) for name in FIELDS}
    return {**shown, "script": [dataclasses.asdict(rule) for rule in faults.script]}


def describe() -> list[dict[str, Any]]:
    """Return all switches in order: the name, the default as JSON, what it takes, and what it imitates."""
    defaults = as_json(Faults())
    about = {name: field.metadata for name, field in FIELDS.items()}
    return [
        {"switch": name, "default": defaults[name], "takes": found["read"].takes, "imitates": found["about"]}
        for name, found in about.items()
    ]


def _known(name: str) -> str:
    if name not in FIELDS:
        raise FaultError(f"unknown fault {name!r}{values.did_you_mean(name, FIELDS)}")
    return name


class Injector:
    """The switches in force; chance is drawn from the seed, so that a sequence of calls can be repeated."""

    def __init__(self, switches: Faults, seed: int) -> None:
        self._random = random.Random(f"{seed}:faults")
        self._used: collections.Counter[tuple[str, int]] = collections.Counter()
        self._install(switches)

    def change(self, switches: Faults, names: Iterable[str]) -> None:
        """Put new switches in force; the counts of the switches called `names` start again."""
        restarted = set(names)
        self._used = collections.Counter({key: n for key, n in self._used.items() if key[0] not in restarted})
        self._install(switches)

    def chance(self, rate: float) -> bool:
        return rate > 0 and self._random.random() < rate

    def pick(self, subject: rules.Subject) -> rules.Rule | None:
        """Return the first rule that applies to this call and use up one of its `times`; None without a rule."""
        for key, rule in self._rules:
            spent = rule.times is not None and self._used[key] >= rule.times
            if spent or not rule.matches(subject):
                continue
            if rule.probability < 1 and not self.chance(rule.probability):
                continue
            self._used[key] += 1
            return rule
        return None

    def _install(self, switches: Faults) -> None:
        self.faults = switches
        # The key is the place within the rule's own switch, so that a change of another switch keeps the count.
        self._rules = [
            ((switch, place), rule)
            for switch, found in _rules(switches).items()
            for place, rule in enumerate(found)
        ]


def _rules(switches: Faults) -> dict[str, Sequence[rules.Rule]]:
    """Return the rules of the script first, then those of the other switches, each under its switch's name."""
    withdrawn = rules.AGENT_ROUTES if switches.withdrawn else ()
    return {
        "script": switches.script,
        "down": [rules.Rule("refuse_before")] if switches.down else [],
        "unauthorized": [rules.Rule("status:401")] if switches.unauthorized else [],
        "withdrawn": [rules.Rule(f"status:{switches.withdrawn}", route) for route in withdrawn],
        "rate_limit": [rules.Rule("status:429", probability=switches.rate_limit)],
        "not_found": _of_runs(switches.not_found, rules.RUN_ROUTES, "status:404"),
        "broken_runs": _of_runs(switches.broken_runs, ("details", "get"), "status:500"),
        "lose_answer": [
            rules.Rule("lose_answer", route, times=int(times)) for route, times in switches.lose_answer.items()
        ],
        "error_rate": _by_share(switches.error_rate, f"status:{switches.error_status}"),
        "malformed": _by_share(switches.malformed, "malformed"),
        "truncated": _by_share(switches.truncated, "truncated"),
    }


def _by_share(shares: Mapping[str, float], action: str) -> list[rules.Rule]:
    return [rules.Rule(action, route, probability=share) for route, share in shares.items()]


def _of_runs(names: Iterable[str], routes: Iterable[str], action: str) -> list[rules.Rule]:
    """Return the rules of runs that are named by their ids or by parts of their prompts; `*` names all runs."""
    found: list[rules.Rule] = []
    for name, route in itertools.product(names, routes):
        if name == "*":
            found.append(rules.Rule(action, route))
        else:
            found += [rules.Rule(action, route, run=name), rules.Rule(action, route, prompt=name)]
    return found
