"""The sandbox's switches as they are told: what can go wrong, in which calls, and how to say so."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable

from rich.text import Text

from receiver.cli import tables
from receiver.sandbox import faults, rules

_WIDEST = 100
_RULE = '--fault \'script=[{"route": "exec", "times": 1, "action": "lose_answer"}]\''
_NARROWED = "narrowed by route, run, agent, prompt (a piece of it), times and probability; the first that fits"


def show(*, as_json: bool) -> None:
    """All switches, the actions of scripted rules, and the routes that they may name."""
    if as_json:
        for line in _objects():
            print(json.dumps(line))
        return
    _section("Switches", "--fault NAME=VALUE, or PUT /sandbox/faults while it runs")
    for switch in faults.describe():
        _entry(switch.name, f"{switch.default}  {switch.takes}", switch.about)
    _section("Rules", _RULE, _NARROWED)
    for action in rules.ACTIONS.values():
        _entry(action.form, _places(action), action.does)
    _section("Routes", f"of calls: {', '.join(rules.API_ROUTES)}, * for all of them")
    _paragraph(f"of what is sent, in rules only: {', '.join(rules.SENT_ROUTES)}", "  ")
    _paragraph("GET /sandbox/held tells what is held, POST /sandbox/release lets it go on", "  ")


def _objects() -> Iterable[dict[str, object]]:
    for switch in faults.describe():
        told = {"default": json.loads(switch.default), "takes": switch.takes, "imitates": switch.about}
        yield {"switch": switch.name, **told}
    for action in rules.ACTIONS.values():
        yield {"action": action.form, "does": action.does, "toCalls": action.to_calls, "toSent": action.to_sent}
    for route in rules.ROUTES:
        yield {"route": route}


def _places(action: rules.Action) -> str:
    sent = " and ".join(rules.SENT_ROUTES)
    if not action.to_sent:
        return "calls"
    return f"calls, {sent}" if action.to_calls else sent


def _section(title: str, *sentences: str) -> None:
    out = tables.console()
    out.print(Text(title, "bold"))
    for sentence in sentences:
        _paragraph(sentence, "  ")
    out.print()


def _entry(name: str, form: str, about: str) -> None:
    """Two lines or a few: the name with what it takes, and what it does."""
    out = tables.console()
    first, *more = textwrap.wrap(f"{name}  {form}", _width(), initial_indent="  ", subsequent_indent="      ")
    line = Text(first)
    line.stylize("cyan", 0, 2 + len(name))
    out.print(line)
    for each in more:
        out.print(Text(each))
    _paragraph(about, "      ")
    out.print()


def _paragraph(text: str, indent: str) -> None:
    for line in textwrap.wrap(text, _width(), initial_indent=indent, subsequent_indent=indent):
        tables.console().print(Text(line))


def _width() -> int:
    return min(tables.console().width, _WIDEST)
