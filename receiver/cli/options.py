"""Options that several commands have."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Annotated, Any

import typer

from receiver.cli.errors import USAGE, CommandError
from receiver.cli.parameters import argument, flag, option
from storage import states
from storage.query import grammar

Function = Callable[..., Any]


def completed(words: Iterable[str]) -> Callable[[str], list[str]]:
    """Return a function that completes a word at the shell."""
    known = list(words)
    return lambda incomplete: [each for each in known if each.startswith(incomplete)]


def one_of(words: Iterable[str]) -> str:
    """Return the words as a phrase for a help text.

    >>> one_of(["a", "b", "c"])
    'a, b or c'
    """
    *others, last = words
    return f"{', '.join(others)} or {last}" if others else last


def choice(words: Iterable[str], metavar: str, help: str = "{words}.", *names: str) -> Any:
    """Return an option with these values, which its help names and the shell completes."""
    known = [str(each) for each in words]
    named = help.format(words=one_of(known))
    return typer.Option(*names, metavar=metavar, help=named, autocompletion=completed(known))


Run = Annotated[str, argument("RUN", "A run, by our id or the upstream's.")]
OfRun = Annotated[str | None, option("RUN", "Of one run, by our id or the upstream's.")]
Json = Annotated[bool, flag("--json", "For programs: one JSON object a line, as the API gives it.")]
Tag = Annotated[list[str] | None, option("KEY=VALUE", "Repeatable; all must match.")]
Agent = Annotated[list[str] | None, option("ID", "The upstream's agent.")]

#: The options that choose runs, by the names of the API's parameters.
FILTERS: dict[str, Any] = {
    "q": Annotated[
        str | None, argument("QUERY", "In the filter language, quoted as a whole; the options must match too.")
    ],
    "status": Annotated[list[str] | None, choice(states.Status, "STATE", "{words}; several by commas.")],
    "agent": Agent,
    "model": Annotated[list[str] | None, option("NAME", "The model.")],
    "origin": Annotated[list[str] | None, choice(states.Origin, "ORIGIN")],
    "settled_by": Annotated[list[str] | None, choice(states.Source, "SOURCE")],
    "review": Annotated[list[str] | None, choice(states.Reviewed, "VERDICT", "The newest judgement: {words}.")],
    "tag": Tag,
    "accepted": Annotated[str | None, option("WHEN", "'>-7d', 2026-11-23.")],
    "created": Annotated[
        str | None,
        option(
            "WHEN",
            "'>-7d', 2026-11-23, '>2026-11-23T12:00:00Z'. Never created upstream: accepted then.",
        ),
    ],
    "settled": Annotated[str | None, option("WHEN", "'>-12h', 2026-11-01..2026-11-30.")],
    "cost": Annotated[str | None, option("DOLLARS", "'>0.50', 0.10..0.25.")],
    "duration": Annotated[str | None, option("TIME", "'>2m', 90s..1.5h.")],
    "tokens": Annotated[str | None, option("NUMBER", "Input and output: '>=10k'.")],
    "tool": Annotated[list[str] | None, option("NAME", "A tool that was used.")],
    "has": Annotated[
        list[str] | None, choice(grammar.OPTIONAL_NAMES, "FIELD", "A field that is not empty: {words}.")
    ],
}


def filtered(command: Function) -> Function:
    """Replace the parameter `chosen` of a command, a mapping, by the options of FILTERS."""
    signature = inspect.signature(command, eval_str=True)
    keyword = inspect.Parameter.KEYWORD_ONLY

    @functools.wraps(command)
    def with_filters(**given: Any) -> Any:
        chosen = {name: given.pop(name) for name in FILTERS}
        return command(chosen=chosen | {"tag": tags(chosen["tag"])}, **given)

    parameters: list[inspect.Parameter] = []
    for name, parameter in signature.parameters.items():
        if name == "chosen":
            parameters += [
                inspect.Parameter(each, keyword, default=None, annotation=FILTERS[each]) for each in FILTERS
            ]
        else:
            parameters.append(parameter.replace(kind=keyword))
    with_filters.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return with_filters


Sort = Annotated[str, option("ORDER", f"{', '.join(grammar.SORT_NAMES)}; - for descending; -relevance.")]
Count = Annotated[bool, flag("--count", "Print the number of all matching runs.")]
Follow = Annotated[
    bool,
    flag("--follow", "Print each run as it changes: from now on, or after the change with the number --cursor."),
]
Limit = Annotated[int, option("N", "The most rows.", min=1, max=250)]
Cursor = Annotated[str | None, option("CURSOR", "Continue after the page that printed it.", show_default=False)]
All = Annotated[bool, flag("--all", "All pages from there on.")]


def tags(given: list[str] | None, option: str = "--tag ") -> dict[str, str]:
    """Return `key=value` texts as a mapping. Raise CommandError, which names the option."""
    found: dict[str, str] = {}
    for each in given or ():
        key, equals, value = each.partition("=")
        if not equals or not key:
            raise CommandError(f"{option}{each!r} is not of the form key=value", USAGE)
        if key in found:
            raise CommandError(f"{option}{key} is given twice", USAGE)
        found[key] = value
    return found
