"""Scripted faults: rules that say which calls are hit, how often, and what happens to them; and what is held.

    {"route": "create", "times": 1, "action": "lose_answer"}
    {"route": "details", "run": "run_x", "action": "status:500"}
    {"route": "callback", "prompt": "lease", "times": 1, "action": "drop"}

`route` is a name of ROUTES or `*` for every API call (not for what the sandbox sends); `run` and `agent` are ids,
`prompt` is a piece of the run's prompt; `times` limits the number of calls that are hit (null: no limit);
`probability` is the share of matching calls that are hit. `action` is one of ACTIONS.

On the route `events`, a stream: `delay`, `hold` and `pass` let it flow; actions that spoil an answer or hold it
back wait for its end first. The `stream_…` switches say what happens in the middle of a stream.

A held call or message waits for `POST /sandbox/release` (`{"route": "exec"}` releases one route), ten minutes at
most; `GET /sandbox/held` lists it. A call held by `hold` waits before its work begins, also if its client has hung
up; one held by `hold_answer` has done its work, and ends with its client. A held message waits before its first
attempt.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import re
import time
from collections.abc import Mapping

from starlette.types import Receive

from receiver.sandbox import values

RUN_ROUTES = ("get", "exec", "status", "details", "cancel", "watch", "events")
AGENT_ROUTES = (
    "agents.create", "agents.list", "agents.get", "agents.update", "agents.delete",
    "create", "list", *RUN_ROUTES, "execute",
)  # fmt: skip
WEBHOOK_ROUTES = (
    "event_types", "endpoints.create", "endpoints.list", "endpoints.get", "endpoints.update", "endpoints.delete",
    "endpoints.rotate_secret", "endpoints.test", "deliveries.list", "deliveries.get", "deliveries.replay",
)  # fmt: skip
API_ROUTES = (*AGENT_ROUTES, *WEBHOOK_ROUTES)
SENT_ROUTES = ("callback", "event")
ROUTES = ("*", *API_ROUTES, *SENT_ROUTES)

#: Seconds after which something that nobody releases continues by itself.
LONGEST = 600.0

_STATUS = r"[2-5][0-9]{2}"
_SECONDS = r"[0-9]{1,5}(\.[0-9]{1,6})?"


@dataclasses.dataclass(frozen=True)
class Action:
    """The action of a rule; `amount` is the pattern of the text after the colon of its form."""

    form: str
    amount: str
    does: str
    to_calls: bool = True
    to_sent: bool = False


ACTIONS = {
    "status": Action("status:N", _STATUS, "answers N; no work is done"),
    "html": Action("html[:N]", f"({_STATUS})?", "answers an HTML page, with status 502 or N; no work is done"),
    "empty": Action("empty[:N]", f"({_STATUS})?", "answers an empty body, with status 500 or N; no work is done"),
    "malformed": Action("malformed", "", "the work is done, and the answer is not JSON"),
    "truncated": Action("truncated", "", "the work is done, and the answer stops half-way"),
    "lose_answer": Action("lose_answer", "", "the work is done, and then the connection is cut"),
    "refuse_before": Action("refuse_before", "", "the connection is cut; no work is done"),
    "hang": Action("hang:SECONDS", _SECONDS, "the work is done, and the answer held back so long"),
    "hold_answer": Action("hold_answer", "", "the work is done, and the answer held back until it is released"),
    "delay": Action("delay:SECONDS", _SECONDS, "begins the work, or sends, so much later", to_sent=True),
    "hold": Action("hold", "", "begins the work, or sends, once it is released", to_sent=True),
    "drop": Action("drop", "", "never sends it", to_calls=False, to_sent=True),
    "pass": Action("pass", "", "does nothing, and shields from later rules", to_sent=True),
}


@dataclasses.dataclass(frozen=True)
class Subject:
    """The subject that a rule is matched against: the route, and the known facts about the run."""

    route: str
    run: str | None = None
    agent: str | None = None
    prompt: str = ""


@dataclasses.dataclass(frozen=True)
class Rule:
    """One scripted fault; the fields are those of its JSON form."""

    action: str
    route: str = "*"
    run: str | None = None
    agent: str | None = None
    prompt: str | None = None
    times: int | None = None
    probability: float = 1.0

    @property
    def verb(self) -> str:
        return self.action.partition(":")[0]

    @property
    def amount(self) -> str:
        """Return the text after the action's colon, or an empty one."""
        return self.action.partition(":")[2]

    def matches(self, subject: Subject) -> bool:
        """Return whether the rule names this call, whatever its `times` and `probability`."""
        return (
            (self.route == subject.route or (self.route == "*" and subject.route not in SENT_ROUTES))
            and self.run in (None, subject.run)
            and self.agent in (None, subject.agent)
            and (self.prompt is None or self.prompt in subject.prompt)
        )


#: The rule of a call that no other rule matches.
NO_RULE = Rule("pass")


def _script(value: object) -> tuple[Rule, ...]:
    items = values.from_text(value)
    if not isinstance(items, (list, tuple)):
        raise values.FaultError("a script is a list of rules")
    return tuple(_rule(item) for item in items)


#: Rules from their JSON form, a list of objects.
script = values.Reader(_script, "rules: a JSON list of objects")


def _rule(item: object) -> Rule:
    if not isinstance(item, Mapping) or "action" not in item:
        raise values.FaultError(f"{item!r} is not a rule: an object with at least an action")
    for name in item:
        values.choice([field.name for field in dataclasses.fields(Rule)])(name)
    times = item.get("times")
    rule = Rule(
        action=_action(item["action"]),
        route=values.choice(ROUTES)(item.get("route", "*")),
        times=None if times is None else values.integer(0, 1_000_000)(times),
        probability=values.number(0, 1)(item.get("probability", 1.0)),
        **{name: _text_or_none(item.get(name)) for name in ("run", "agent", "prompt")},
    )
    action = ACTIONS[rule.verb]
    if not (action.to_sent if rule.route in SENT_ROUTES else action.to_calls):
        raise values.FaultError(f"{rule.verb} is no action of the route {rule.route}")
    return rule


def _action(value: object) -> str:
    verb, colon, amount = str(value).partition(":")
    values.choice(list(ACTIONS))(verb)
    if not re.fullmatch(ACTIONS[verb].amount, amount) or (colon and not amount):
        raise values.FaultError(f"{value!r} lacks its number, or has one that {verb} does not take")
    return str(value)


def _text_or_none(value: object) -> str | None:
    if value is not None and not isinstance(value, str):
        raise values.FaultError(f"{value!r} is not a text")
    return value


@dataclasses.dataclass(eq=False)
class Held:
    """A call or sent message, held since `at` (seconds since 1970); `abandoned` once its client has hung up."""

    action: str
    subject: Subject
    body: object
    at: float = dataclasses.field(default_factory=time.time)
    abandoned: bool = False
    released: asyncio.Event = dataclasses.field(default_factory=asyncio.Event)

    def as_json(self) -> dict[str, object]:
        about = {"route": self.subject.route, "run": self.subject.run, "prompt": self.subject.prompt[:200]}
        return {"action": self.action, **about, "body": self.body, "at": self.at, "abandoned": self.abandoned}


class Holds:
    """Everything that is held now, the oldest first."""

    def __init__(self, longest: float = LONGEST) -> None:
        self._longest = longest
        self._held: list[Held] = []
        self._closed = False

    async def wait(self, held: Held) -> bool:
        """Wait for the release or the longest time; return False where the sandbox stops and nothing follows."""
        if self._closed:
            return False
        self._held.append(held)
        try:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(held.released.wait(), self._longest)
        finally:
            self._held = [other for other in self._held if other is not held]
        return not self._closed

    async def wait_with_client(self, held: Held, receive: Receive) -> bool:
        """Wait as `wait` does, for a call whose body has been read: `receive` returns when its client hangs up."""

        async def watch() -> None:
            await receive()
            held.abandoned = True
            if held.action == "hold_answer":
                held.released.set()

        async with asyncio.TaskGroup() as group:
            watching = group.create_task(watch())
            continues = await self.wait(held)
            watching.cancel()
        return continues

    def release(self, route: str | None = None) -> int:
        """Release everything that is held now, or that of one route; return how many there were."""
        freed = [held for held in self._held if route in (None, held.subject.route)]
        self._held = [held for held in self._held if held not in freed]
        for held in freed:
            held.released.set()
        return len(freed)

    def close(self) -> None:
        """End what is held now or later without doing its work, since the sandbox stops."""
        self._closed = True
        self.release()

    def as_json(self) -> list[dict[str, object]]:
        return [held.as_json() for held in self._held]
