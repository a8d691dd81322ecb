"""What the commands that remove content of runs share: the dry run, the question, the batches, the output."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from receiver import clock
from receiver.cli import open_database
from receiver.cli.render import format as render_format
from receiver.cli.render import progress, terminal
from receiver.worker import retention
from storage.engine import database
from storage.maintenance import vacuum as maintenance_vacuum
from storage.query import grammar
from storage.retention import erasing


@dataclass(frozen=True, slots=True)
class Options:
    """How a command removes. `vacuum` writes the file of the database anew; `words` overwrites removed words."""

    dry_run: bool = False
    yes: bool = False
    vacuum: bool = False
    words: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was found, and what was removed of it; None in a dry run."""

    found: erasing.Survey
    refused: Sequence[erasing.Refusal]
    removed: erasing.Erased | None
    freed: maintenance_vacuum.VacuumResult | None


async def remove(chosen: grammar.Expression, erasure: erasing.Erasure, options: Options) -> Outcome:
    """Remove the content of the runs that match, once it is confirmed. Raises CommandError."""
    async with open_database.existing() as store:
        found = await store.read(erasing.survey, chosen, erasure.fields)
        refused = await store.read(erasing.refusals, chosen)
        if options.dry_run:
            return Outcome(found, refused, None, None)
        if found.runs and not options.yes:
            terminal.demand_yes(sentence(found))
        removed = await _erase(store, chosen, erasure, found.runs)
        freed = None
        if removed.runs or options.vacuum or options.words:
            # With `words` also where nothing was left: an earlier command may have been killed before this.
            freed = await asyncio.to_thread(
                maintenance_vacuum.shrink, store.url, rewrite=options.vacuum, words=options.words
            )
    return Outcome(found, refused, removed, freed)


async def _erase(
    store: database.Database, chosen: grammar.Expression, erasure: erasing.Erasure, expected: int
) -> erasing.Erased:
    with progress.bar("removing", expected) as update:
        return await retention.erase(store, chosen, erasure, clock.now, lambda count: update(advance=count))


def show(outcome: Outcome) -> None:
    """Print what was removed, or would be, and what stays and why."""
    removed, freed = outcome.removed, outcome.freed
    if removed is None or not removed.runs:
        print(sentence(outcome.found))
    else:
        runs, nouns = render_format.plural(removed.runs, "run"), counted(removed.rows)
        print(f"The content of {runs} is removed" + (f": {nouns}." if nouns else "."))
    if removed is not None and removed.runs and freed is not None:
        print(f"The database had {render_format.size(freed.before)} and has {render_format.size(freed.after)}.")
        if freed.free > freed.after // 10:
            free = render_format.size(freed.free)
            print(f"{free} of it are free and will be used again; `runledger prune --vacuum` gives them back.")
    if freed is not None and not freed.is_overwritten:
        print(
            "A reader is at work, so the write-ahead log still has older pages: run this again.", file=sys.stderr
        )


def sentence(found: erasing.Survey) -> str:
    """Return what can be removed, and how much stays."""
    plural = render_format.plural
    stays = f" {plural(found.busy, 'run has', 'runs have')} open jobs and will stay." if found.busy else ""
    stays += f" {plural(found.held, 'run is', 'runs are')} under a hold and will stay." if found.held else ""
    if not found.runs:
        return f"There is nothing to remove.{stays}"
    span = f"settled from {render_format.instant(found.oldest)} to {render_format.instant(found.newest)}"
    nouns = counted(found.rows)
    content = f" with {nouns}" if nouns else ""
    runs, size = plural(found.runs, "run"), render_format.size(found.size)
    return f"{runs}{content}, about {size}, {span}.{stays}"


def counted(rows: Mapping[str, int]) -> str:
    """Return the numbers of rows with their nouns."""
    return ", ".join(render_format.plural(count, _ONE[noun], noun) for noun, count in rows.items() if count)


_ONE = {"steps": "step", "documents": "document", "events": "event", "deliveries": "delivery"}


def fields(outcome: Outcome) -> dict[str, Any]:
    """Return what was removed, or with `dryRun` what would be."""
    found, removed, freed = outcome.found, outcome.removed, outcome.freed
    rows = found.rows if removed is None else removed.rows
    return {
        "dryRun": removed is None,
        "runs": found.runs if removed is None else removed.runs,
        **{noun: rows.get(noun, 0) for noun in found.rows},
        "busyRuns": found.busy,
        "heldRuns": found.held,
        "contentBytes": found.size,
        "oldest": found.oldest,
        "newest": found.newest,
        "fileBytesBefore": freed.before if freed else None,
        "fileBytesAfter": freed.after if freed else None,
        "fileBytesFree": freed.free if freed else None,
    }
