"""The switches: everything that is unknown, unreliable or broken about the real service.

    switches = faults.parse(["callback_duplicates=2", "error_rate.exec=0.5"])
    switches = faults.merged(switches, {"latency": 0.2, "script": [{"route": "create", "action": "lose_answer"}]})

Named switches cover the common cases; `script` is the general form, a list of rules (`rules.Rule`) that say
which calls are hit, how often, and how. Times are seconds, rates are probabilities from 0 to 1.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from receiver.sandbox import readers, rules

T = TypeVar("T")
FaultError = readers.FaultError

ENDED = ("completed", "failed", "cancelled")
BODIES = ("minimal", "rich", "id", "run.id", "data.runId", "run_id")
SHAPES = ("status", "nested", "text", "flag", "html", "empty")
ENCODINGS = ("base64", "hex", "raw")


@dataclasses.dataclass(frozen=True)
class Switch:
    """A switch as it is described to people: its default as JSON, what it takes, what it imitates."""

    name: str
    default: str
    takes: str
    about: str


def _switch(default: T, read: readers.Reader[T], about: str) -> T:
    return dataclasses.field(default=default, metadata={"read": read, "about": about})


def _by_route(read: readers.Reader[float], about: str) -> Mapping[str, float]:
    route_map = readers.mapping(read, rules.API_ROUTES)
    return dataclasses.field(default_factory=dict, metadata={"read": route_map, "about": about})


_rate = readers.number(0, 1)
_seconds = readers.number(0, 86_400)
_count = readers.integer(0, 10_000)
_states = readers.choices(ENDED)


@dataclasses.dataclass(frozen=True)
class Faults:
    """One frozen setting of all switches; the default is a service on a good day."""

    callback_body: str = _switch(
        "minimal",
        readers.choice(BODIES),
        "what a watcher is sent: only the run's id, a full report, or another form",
    )
    callback_states: tuple[str, ...] = _switch(ENDED, _states, "the terminal states that call watchers back")
    callback_duplicates: int = _switch(0, _count, "extra copies of each callback")
    callback_delay: float = _switch(0.0, _seconds, "seconds between the end of a run and its callback")
    callback_drop_rate: float = _switch(0.0, _rate, "share of callbacks that are never sent")
    callback_retries: int = _switch(0, _count, "further attempts after a callback that did not get a 2xx")
    callback_before_exec_answer: bool = _switch(
        False, readers.boolean, "exec answers only when the run has ended and its callbacks are out"
    )
    callback_wrong_run_id: bool = _switch(False, readers.boolean, "callbacks name another run than their own")
    event_states: tuple[str, ...] = _switch(ENDED, _states, "the terminal states that make platform events")
    event_started: bool = _switch(False, readers.boolean, "send agent.run.started too, where the filter matches")
    event_duplicates: int = _switch(
        0, _count, "extra deliveries of each event: the same event, another delivery id"
    )
    event_delay: float = _switch(0.0, _seconds, "seconds between the end of a run and its event")
    event_drop_rate: float = _switch(0.0, _rate, "share of events that are never sent")
    event_retries: int = _switch(5, _count, "further attempts after no answer, 408, 429 or 5xx; other 4xx lose it")
    event_forged: bool = _switch(False, readers.boolean, "events are signed with a key that is not the endpoint's")
    event_disorder: float = _switch(
        0.0, _seconds, "events come in the wrong order: each waits so long for a later one to overtake it"
    )
    event_missed_recorded: bool = _switch(
        True, readers.boolean, "events for an endpoint that is not active are kept as failed deliveries"
    )
    auto_disable_after: int = _switch(
        50, _count, "failed deliveries in a row after which an endpoint is auto_disabled, 0 for never"
    )
    event_key_encoding: str = _switch(
        "base64", readers.choice(ENCODINGS), "how the secrets of new endpoints hold the key after whsec_"
    )
    retry_backoff: float = _switch(
        0.2, _seconds, "seconds before the first retry of a callback or event, then double"
    )
    stream_heartbeat: float = _switch(0.0, _seconds, "seconds between comments in a stream of events, 0 for none")
    stream_delay: float = _switch(0.0, _seconds, "seconds before each event of a stream")
    stream_cut_after: int = _switch(0, _count, "events after which every stream is cut, 0 for never")
    stream_stall_after: int = _switch(
        0, _count, "events after which a stream stays open without a byte, 0 for never"
    )
    stream_repeats: int = _switch(0, _count, "extra copies of each event of a stream, under the same id")
    stream_junk: bool = _switch(False, readers.boolean, "events and lines that nobody can read in every stream")
    stream_padding: int = _switch(
        0, readers.integer(0, 50_000_000), "bytes that are added to the data of each event of a stream"
    )
    stream_kept: int = _switch(10_000, _count, "events of a run, the newest, that are kept for a replay")
    stream_slow_reader: float = _switch(
        0.0, _seconds, "seconds after which a reader that does not take an event is cut off, 0 for never"
    )
    stream_stays_open: bool = _switch(
        False, readers.boolean, "streams stay open after their last event, as though more were to come"
    )
    fail_rate: float = _switch(0.0, _rate, "share of runs that fail; which ones is settled by the seed")
    fail_prompts: tuple[str, ...] = _switch((), readers.texts, "runs whose prompt contains one of these fail")
    incomplete_seconds: float = _switch(
        0.0, _seconds, "seconds after its end for which a run's details lack result and usage"
    )
    incomplete_fetches: int = _switch(0, _count, "fetches after its end in which a run's details lack both")
    details_padding: int = _switch(
        0,
        readers.integer(0, 60_000_000),
        "bytes of further steps in the details of every ended run: tool outputs of floats and words",
    )
    broken_runs: tuple[str, ...] = _switch(
        (), readers.texts, "details of these runs answer 500: run ids, or pieces of their prompts"
    )
    not_found: tuple[str, ...] = _switch(
        (), readers.texts, "these runs answer 404 everywhere but in the list: ids, pieces of prompts, or * for all"
    )
    latency: float = _switch(0.0, _seconds, "seconds added to every API call")
    error_rate: Mapping[str, float] = _by_route(_rate, "share of calls, by route, that fail with error_status")
    error_status: int = _switch(500, readers.integer(400, 599), "the status of error_rate")
    error_shape: str = _switch("status", readers.choice(SHAPES), "the form of every error body")
    rate_limit: float = _switch(0.0, _rate, "share of API calls answered 429")
    calls_per_minute: int = _switch(
        100_000, readers.integer(1, 1_000_000), "calls that x-ratelimit-limit tells of and that are counted down"
    )
    retry_after: str = _switch(
        "", readers.retry_after, "Retry-After on 429 and 503: empty for none, N for seconds, date:N for a date"
    )
    malformed: Mapping[str, float] = _by_route(_rate, "share of answers, by route, that are not JSON")
    truncated: Mapping[str, float] = _by_route(_rate, "share of answers, by route, that stop half-way")
    lose_answer: Mapping[str, float] = _by_route(
        _count, "next N calls, by route, whose work is done and whose connection is then cut"
    )
    unauthorized: bool = _switch(False, readers.boolean, "every API call answers 401")
    withdrawn: int = _switch(
        0, readers.one_of_integers((0, 404, 405, 410)), "every agent route answers this status, 0 for none"
    )
    down: bool = _switch(False, readers.boolean, "every connection is cut before the call is looked at")
    script: tuple[rules.Rule, ...] = _switch(
        (), rules.script, "rules, first match wins; looked at before the rest"
    )


FIELDS = {field.name: field for field in dataclasses.fields(Faults)}


def parse(assignments: Iterable[str]) -> Faults:
    """Faults from `NAME=VALUE` texts; `NAME.ROUTE=VALUE` sets one route of a switch that is set by route.

    Raises FaultError with a sentence that names the switch, and the nearest known name for an unknown one.
    """
    faults = Faults()
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not equals:
            raise FaultError(f"{assignment!r} is not of the form NAME=VALUE")
        name, dot, route = name.strip().partition(".")
        if dot:
            known = getattr(faults, name, None)
            if not isinstance(known, Mapping):
                raise FaultError(_unknown(name) if name not in FIELDS else f"{name} is not set by route")
            faults = merged(faults, {name: {**known, route: value}})
        else:
            faults = merged(faults, {name: value})
    return faults


def merged(faults: Faults, changes: Mapping[str, object]) -> Faults:
    """`faults` with `changes` in JSON or text form; raises FaultError and changes nothing where one is wrong."""
    read: dict[str, Any] = {}
    for name, value in changes.items():
        if name not in FIELDS:
            raise FaultError(_unknown(name))
        try:
            read[name] = FIELDS[name].metadata["read"](value)
        except FaultError as error:
            raise FaultError(f"{name}: {error}") from None
    return dataclasses.replace(faults, **read)


def as_json(faults: Faults) -> dict[str, object]:
    """Every switch by name, in the form that `merged` takes back."""
    shown: dict[str, object] = {name: getattr(faults, name) for name in FIELDS}
    shown["script"] = [rule.as_json() for rule in faults.script]
    return shown


def describe() -> list[Switch]:
    """Every switch, in order."""
    defaults = as_json(Faults())
    return [
        Switch(name, json.dumps(defaults[name]), field.metadata["read"].takes, field.metadata["about"])
        for name, field in FIELDS.items()
    ]


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(name, FIELDS, n=1)
    return f"unknown fault {name!r}" + (f"; did you mean {near[0]!r}?" if near else "")
