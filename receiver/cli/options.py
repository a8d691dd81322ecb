"""Options that several verbs take, once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import typer

from receiver.cli import sentences


def words(*known: str) -> Callable[[str], list[str]]:
    """Completes what is typed to one of these."""

    def complete(incomplete: str) -> list[str]:
        return [each for each in known if each.startswith(incomplete)]

    return complete


Run = Annotated[str, typer.Argument(metavar="RUN", help="A run, by our id or the upstream's.", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="For programs: one JSON object a line, as the API gives it.")]

STATES = ("accepted", "queued", "running", "completed", "failed", "cancelled", "refused", "lost")
GROUPINGS = (
    "agent",
    "model",
    "status",
    "origin",
    "settled_by",
    "hour",
    "day",
    "month",
    "road",
    "failure_reason",
)
ROADS = ("watcher", "platform", "sweep", "request")

Status = Annotated[
    list[str] | None,
    typer.Option(metavar="STATE", help=f"{', '.join(STATES)}; several by commas.", autocompletion=words(*STATES)),
]
Agent = Annotated[list[str] | None, typer.Option(metavar="ID", help="The upstream's agent.")]
Model = Annotated[list[str] | None, typer.Option(metavar="NAME", help="The model.")]
Origin = Annotated[
    list[str] | None,
    typer.Option(metavar="ORIGIN", help="submitted or adopted.", autocompletion=words("submitted", "adopted")),
]
SettledBy = Annotated[
    list[str] | None,
    typer.Option(metavar="ROAD", help="watcher, platform, sweep or request.", autocompletion=words(*ROADS)),
]
Tag = Annotated[
    list[str] | None,
    typer.Option(metavar="KEY=VALUE", help="Repeat it; all must hold."),
]
Accepted = Annotated[str | None, typer.Option(metavar="WHEN", help="'>-7d', 2026-11-23.")]
Created = Annotated[
    str | None,
    typer.Option(
        metavar="WHEN",
        help="'>-7d', 2026-11-23, '>2026-11-23T12:00:00Z'; what never was, by its acceptance.",
    ),
]
Settled = Annotated[str | None, typer.Option(metavar="WHEN", help="'>-12h', 2026-11-01..2026-11-30.")]
Cost = Annotated[str | None, typer.Option(metavar="DOLLARS", help="'>0.50', 0.10..0.25.")]
Duration = Annotated[str | None, typer.Option(metavar="TIME", help="'>2m', 90s..1.5h.")]
Tokens = Annotated[str | None, typer.Option(metavar="NUMBER", help="Input and output: '>=10k'.")]
Tool = Annotated[list[str] | None, typer.Option(metavar="NAME", help="A tool that was used.")]
Has = Annotated[list[str] | None, typer.Option(metavar="WHAT", help="failure_reason, output, summary, …")]
Question = Annotated[
    str | None,
    typer.Argument(
        metavar="QUESTION",
        help="In the filter language, all of it in '…'; beside it the options hold.",
        show_default=False,
    ),
]

Sort = Annotated[
    str,
    typer.Option(
        metavar="ORDER",
        help="accepted, created, settled, cost, duration, tokens; - for the greatest first; -relevance.",
    ),
]
Count = Annotated[bool, typer.Option("--count", help="Say how many there are in all.")]
Follow = Annotated[
    bool,
    typer.Option(
        "--follow",
        help="Go on: each run as it comes and changes, from now on or behind change number --cursor.",
    ),
]
Limit = Annotated[int, typer.Option(metavar="N", min=1, max=250, help="How many at most.")]
Cursor = Annotated[
    str | None, typer.Option(metavar="CURSOR", help="The page after the one that named it.", show_default=False)
]
All = Annotated[bool, typer.Option("--all", help="Every page from there on.")]


#: The options that choose runs.
FILTERS = frozenset(
    (
        "q",
        "status",
        "agent",
        "model",
        "origin",
        "settled_by",
        "tag",
        "accepted",
        "created",
        "settled",
        "cost",
        "duration",
        "tokens",
        "tool",
        "has",
    )
)


def chosen(context: typer.Context) -> dict[str, Any]:
    """Which runs are meant, as it was typed, by the names of the API's parameters. Raises Complaint."""
    given = {name: value for name, value in context.params.items() if name in FILTERS}
    return given | {"tag": tags(given["tag"])}


def tags(given: list[str] | None) -> dict[str, str]:
    """`key=value` texts as an object. Raises Complaint."""
    found: dict[str, str] = {}
    for each in given or ():
        key, equals, value = each.partition("=")
        if not equals or not key:
            raise sentences.Complaint(f"--tag {each!r} is not of the form key=value", sentences.USAGE)
        if key in found:
            raise sentences.Complaint(f"--tag {key} is given twice", sentences.USAGE)
        found[key] = value
    return found
