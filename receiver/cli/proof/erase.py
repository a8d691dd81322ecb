"""The command that erases the content of runs on request."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from receiver import clock
from receiver.cli import api_calls, event_loop, open_database, options
from receiver.cli.errors import FAILED, USAGE, CommandError
from receiver.cli.parameters import flag, option
from receiver.cli.proof import erasing as removing
from receiver.cli.render import json_lines
from receiver.schemas import retention
from receiver.web import run_ids
from storage import states
from storage.query import grammar, run_lines
from storage.retention import contents, erasing

app = event_loop.commands()

ALL = "all"
Reason = Annotated[str, option("TEXT", "Why. It stays in the ledger for ever: name a case or a rule, no person.")]
Fields = Annotated[
    str, option("NAMES", f"{', '.join(contents.CHOICES)}, by commas; {ALL}. Without it all but tags and comment.")
]


@app.command()
async def erase(
    reason: Reason,
    run: Annotated[
        list[str] | None, typer.Argument(metavar="RUN...", help="Runs, by either id.", show_default=False)
    ] = None,
    query: Annotated[str | None, option("QUESTION", "All runs that match, in the filter language.")] = None,
    fields: Fields = "",
    dry_run: Annotated[bool, flag("--dry-run", "Show what would be removed, and what forbids it.")] = False,
    yes: Annotated[bool, flag("--yes", "Do not ask.")] = False,
    as_json: options.Json = False,
) -> None:
    """Erase the content of runs, for good; every proof stays valid.

    What may repeat a text goes with it: steps, documents, events, details of
    usage, bodies and headers of deliveries, the notification, words in the
    index, and the salts of its digests in the ledger. It does not come back.
    Runs that have not ended, have open jobs or are under a hold stay as they
    are. It may be stopped and started again at any time.

    \b
    Examples:
      runledger erase run_01hx --reason "Request 0042" --dry-run
      runledger erase --query 'tag.client:tidewater' --reason "Contract ended"
      runledger erase run_01hx --reason "Request 0043" --fields prompt --yes
    """
    if bool(run) == (query is not None):
        raise CommandError("name runs, or give --query", USAGE)
    content: dict[str, object] = {"reason": reason, "fields": _named(fields)}
    body = api_calls.body(retention.ErasureRequest, content)
    chosen = grammar.parse(query, clock.now()) if query is not None else erasing.only(await _ids(run or []))
    erasure = erasing.Erasure(body.reason, api_calls.OPERATOR.actor, fields=body.chosen)
    outcome = await removing.remove(chosen, erasure, removing.Options(dry_run=dry_run, yes=yes, words=True))
    if as_json:
        json_lines.mapping(_object(outcome, erasure))
    else:
        removing.show(outcome)
        for refusal in outcome.refused:
            print(f"  {refusal.reason}", file=sys.stderr)
        print(f"This does not reach: {'; '.join(retention.OUTSIDE)}.", file=sys.stderr)
    if run and outcome.refused:
        raise typer.Exit(FAILED)


def _named(fields: str) -> list[str] | None:
    names = [each.strip() for each in fields.split(",") if each.strip()]
    return sorted(contents.CHOICES) if names == [ALL] else names or None


async def _ids(named: Sequence[str]) -> list[str]:
    """Return our ids of runs. Raises NotFound, RunIsOrphan."""
    async with open_database.existing() as store:
        found = [await store.read(run_lines.find, each, ("id", "upstream_id")) for each in named]
    return [run_ids.require_exact_run(run, each).id for run, each in zip(found, named, strict=True)]


def _object(outcome: removing.Outcome, erasure: erasing.Erasure) -> dict[str, object]:
    removed = outcome.removed
    named: frozenset[states.Content] = erasure.fields if removed is None else removed.fields
    return removing.fields(outcome) | {
        "fields": sorted(named),
        "refused": [json_lines.fields(each, "run_id", "reason") for each in outcome.refused],
        "isOverwritten": outcome.freed.is_overwritten if outcome.freed else None,
        "outside": list(retention.OUTSIDE),
    }
