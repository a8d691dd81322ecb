"""The list of the sandbox's switches, with the values and routes that they take."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable

from rich.text import Text

from receiver.cli.render import json_lines, terminal
from receiver.sandbox import faults, rules

_WIDEST = 100
_RULE = '--fault \'script=[{"route": "exec", "times": 1, "action": "lose_answer"}]\''
_NARROWED = "narrowed by route, run, agent, prompt (a piece of it), times and probability; the first that fits"


def show(*, as_json: bool) -> None:
    """Print all switches, the actions of scripted rules, and the routes that they may name."""
    if as_json:
        for line in _objects():
            json_lines.mapping(line)
        return
    _section("Switches", "--fault NAME=VALUE, or PUT /sandbox/faults while it runs")
    for switch in faults.describe():
        _entry(switch["switch"], f"{json.dumps(switch['default'])}  {switch['takes']}", switch["imitates"])
    _section("Rules", _RULE, _NARROWED)
    for action in rules.ACTIONS.values():
        _entry(action.form, _places(action), action.does)
    _section("Routes", f"of calls: {', '.join(rules.API_ROUTES)}, * for all of them")
    _paragraph(f"of what is sent, in rules only: {', '.join(rules.SENT_ROUTES)}", "  ")
    _paragraph("GET /sandbox/held lists what is held, POST /sandbox/release releases it", "  ")


def _objects() -> Iterable[dict[str, object]]:
    yield from faults.describe()
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
    out = terminal.console()
    out.print(Text(title, "bold"))
    for sentence in sentences:
        _paragraph(sentence, "  ")
    out.print()


def _entry(name: str, form: str, about: str) -> None:
    """Print a name with the values that it takes, and a description below it."""
    out = terminal.console()
    text = textwrap.fill(f"{name}  {form}", _width(), initial_indent="  ", subsequent_indent="      ")
    out.print(Text.assemble((text[: 2 + len(name)], "cyan"), text[2 + len(name) :]))
    _paragraph(about, "      ")
    out.print()


def _paragraph(text: str, indent: str) -> None:
    terminal.console().print(Text(textwrap.fill(text, _width(), initial_indent=indent, subsequent_indent=indent)))


def _width() -> int:
    return min(terminal.console().width, _WIDEST)
