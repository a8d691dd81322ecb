"""Scripted faults: rules that say which calls are hit, how often, and what happens to them.

    {"route": "create", "times": 1, "action": "lose_answer"}
    {"route": "details", "run": "run_x", "action": "status:500"}
    {"route": "callback", "prompt": "lease", "times": 1, "action": "drop"}

`route` is a name of ROUTES or `*` for every API call (not for what is sent); `run` and `agent` are ids,
`prompt` a piece of the run's prompt; `times` is how many calls are hit (null for all); `probability` is the
share of matching calls that are hit. `action` is one of ACTIONS.

On the route `events`, a stream: `delay`, `hold` and `pass` let it flow; what spoils an answer or holds it back
waits for its end first. What happens in the midst of streams is said by the `stream_…` switches.

What is held waits for `POST /sandbox/release` (`{"route": "exec"}` frees that of one route), ten minutes at most;
`GET /sandbox/held` tells what waits. A call that is held by `hold` does its work even if its client has hung up.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping

from receiver.sandbox import readers

AGENT_ROUTES = (
    "agents.create",
    "agents.list",
    "agents.get",
    "agents.update",
    "agents.delete",
    "create",
    "list",
    "get",
    "exec",
    "status",
    "details",
    "cancel",
    "watch",
    "events",
    "execute",
)
WEBHOOK_ROUTES = (
    "event_types",
    "endpoints.create",
    "endpoints.list",
    "endpoints.get",
    "endpoints.update",
    "endpoints.delete",
    "endpoints.rotate_secret",
    "endpoints.test",
    "deliveries.list",
    "deliveries.get",
    "deliveries.replay",
)
API_ROUTES = (*AGENT_ROUTES, *WEBHOOK_ROUTES)
RUN_ROUTES = ("get", "exec", "status", "details", "cancel", "watch", "events")
SENT_ROUTES = ("callback", "event")
ROUTES = ("*", *API_ROUTES, *SENT_ROUTES)

_STATUS = r"[2-5][0-9]{2}"
_STATUS_OR_NONE = rf"({_STATUS})?"
_SECONDS = r"[0-9]{1,5}(\.[0-9]{1,6})?"


@dataclasses.dataclass(frozen=True)
class Action:
    """What a rule does: how it is written, the pattern of what follows the colon, on calls, on what is sent."""

    form: str
    amount: str
    does: str
    to_calls: bool = True
    to_sent: bool = False


ACTIONS = {
    "status": Action("status:N", _STATUS, "answers N; no work is done"),
    "html": Action("html[:N]", _STATUS_OR_NONE, "answers an HTML page, with status 502 or N; no work is done"),
    "empty": Action("empty[:N]", _STATUS_OR_NONE, "answers an empty body, with status 500 or N; no work is done"),
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
    """What a rule is matched against: the route, and as much as is known of the run."""

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
        """What stands behind the colon; empty where nothing does."""
        return self.action.partition(":")[2]

    def matches(self, subject: Subject) -> bool:
        """Whether the rule speaks of this call; counts and chance are not looked at."""
        return (
            (self.route == subject.route or (self.route == "*" and subject.route not in SENT_ROUTES))
            and self.run in (None, subject.run)
            and self.agent in (None, subject.agent)
            and (self.prompt is None or self.prompt in subject.prompt)
        )

    def as_json(self) -> dict[str, object]:
        return dataclasses.asdict(self)


def _rule(item: object) -> Rule:
    if not isinstance(item, Mapping) or "action" not in item:
        raise readers.FaultError(f"{item!r} is not a rule: an object with at least an action")
    names = [field.name for field in dataclasses.fields(Rule)]
    for name in item:
        readers.choice(names)(name)
    times, probability = item.get("times"), item.get("probability", 1.0)
    rule = Rule(
        action=_action(item["action"]),
        route=readers.choice(ROUTES)(item.get("route", "*")),
        times=None if times is None else readers.integer(0, 1_000_000)(times),
        probability=readers.number(0, 1)(probability),
        **{name: _text_or_none(item.get(name)) for name in ("run", "agent", "prompt")},
    )
    action = ACTIONS[rule.verb]
    if not (action.to_sent if rule.route in SENT_ROUTES else action.to_calls):
        raise readers.FaultError(f"{rule.verb} is no action of the route {rule.route}")
    return rule


def _script(value: object) -> tuple[Rule, ...]:
    found = readers.from_text(value)
    if not isinstance(found, (list, tuple)):
        raise readers.FaultError("a script is a list of rules")
    return tuple(_rule(item) for item in found)


#: Rules from their JSON form, a list of objects.
script = readers.Reader(_script, "rules: a JSON list of objects")


def _action(value: object) -> str:
    verb, colon, amount = str(value).partition(":")
    readers.choice(list(ACTIONS))(verb)
    if not re.fullmatch(ACTIONS[verb].amount, amount) or (colon and not amount):
        raise readers.FaultError(f"{value!r} lacks its number, or has one that {verb} does not take")
    return str(value)


def _text_or_none(value: object) -> str | None:
    if value is not None and not isinstance(value, str):
        raise readers.FaultError(f"{value!r} is not a text")
    return value
