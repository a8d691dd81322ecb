"""Removing the content of old runs, and giving its disk space back."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from receiver.cli import confirming, loop, loose, options, sentences

if TYPE_CHECKING:
    from storage import database, filters, space, transitions

VERBS = typer.Typer()

_AGE = re.compile(r"\d+(\.\d+)?\s*(ms|s|m|h|d)", re.ASCII)


SettledBefore = Annotated[
    str | None, typer.Option(metavar="AGE|DATE", help="Settled longer ago than 90d, or before 2026-01-01 (UTC).")
]
Rejected = Annotated[
    bool, typer.Option("--rejected", help="In place of runs: requests that belong to none, see above.")
]
Before = Annotated[
    str | None, typer.Option(metavar="AGE|DATE", help="With --rejected: received longer ago, or before.")
]
Address = Annotated[str | None, typer.Option(metavar="ADDRESS", help="With --rejected: from this address alone.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Tell what would be removed, and remove nothing.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
Vacuum = Annotated[
    bool,
    typer.Option("--vacuum", help="Write the file anew, which needs its size twice and keeps writers waiting."),
]


@VERBS.command()
def prune(
    settled_before: SettledBefore = None,
    rejected: Rejected = False,
    before: Before = None,
    address: Address = None,
    agent: options.Agent = None,
    tag: options.Tag = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    vacuum: Vacuum = False,
    as_json: options.Json = False,
) -> None:
    """Remove the content of old runs; measures and ledger stay.

    What was asked and what came back goes: prompts, results, steps, documents,
    events, bodies of deliveries, and the salts by which the ledger's digests
    of them could be checked. State, times, cost, tokens, agent, model, tags and
    idempotency key stay, and every proof of the ledger holds. Runs with a job
    stay whole. It goes on beside a running server and may be stopped and begun
    again at any time.

    With --rejected it is requests to the public endpoints that belong to no
    run: what did not verify is deleted, of what did verify the content goes.
    The worker does that by itself after RUNLEDGER_REJECTED_DAYS.

    \b
    Examples:
      runledger prune --settled-before 90d --dry-run
      runledger prune --settled-before 2026-01-01 --tag matter=0042 --yes
      runledger prune --rejected --before 0d --address 203.0.113.7
    """
    if rejected:
        moment = _only_rejected(settled_before, before, agent, tag)
        loop.run(loose.prune(moment, address, dry_run, yes, vacuum, as_json))
        return
    if settled_before is None or before is not None or address is not None:
        raise sentences.Complaint("name runs with --settled-before, or requests with --rejected --before", 2)
    loop.run(_prune(settled_before, agent, tag, dry_run, yes, vacuum, as_json))


def _only_rejected(
    settled_before: str | None, before: str | None, agent: list[str] | None, tag: list[str] | None
) -> str:
    """How old they are. Raises Complaint for options that choose runs."""
    if before is None or settled_before is not None or agent or tag:
        raise sentences.Complaint("--rejected goes with --before and --address alone", sentences.USAGE)
    return before


async def _prune(
    before: str,
    agent: list[str] | None,
    tag: list[str] | None,
    dry_run: bool,
    yes: bool,
    vacuum: bool,
    as_json: bool,
) -> None:
    import asyncio

    from receiver.cli import opening
    from storage import space, transitions

    wanted = _wanted(before, agent, tag)
    tell = _tell_programs if as_json else _tell_people
    async with opening.existing() as store:
        found = await store.read(transitions.survey, wanted)
        if dry_run or not (found.runs or vacuum):
            tell(found, None, None)
            return
        if not yes:
            confirming.demand_yes(_found(found))
        removed = await _remove(store, wanted, found.runs)
        given_back = await asyncio.to_thread(space.give_back, store.url, rewrite=vacuum)
    tell(found, removed, given_back)


def _wanted(before: str, agent: list[str] | None, tag: list[str] | None) -> filters.Expression:
    """Which runs. Raises BadFilter, BadParameter."""
    from receiver import clock, shapes
    from receiver.cli import asking
    from storage import filters, spans

    now, text = clock.now(), before.strip()
    spelled = f"<-{text}" if _AGE.fullmatch(text) else f"<{text}"
    chosen = asking.parameters(shapes.RunFilter, {"agent": agent, "tag": options.tags(tag)})
    ended = spans.instants("settled_before", spelled, now)
    return filters.every(chosen.wanted(now), filters.Within("settled", (ended,)))


async def _remove(store: database.Database, wanted: filters.Expression, expected: int) -> transitions.Pruned:
    """Remove them batch by batch, as the server removes what belongs to no run."""
    from receiver import clearing, clock
    from storage import transitions

    total, rows, place = 0, dict[str, int](), None
    with _progress(expected) as advance:

        async def remove() -> bool:
            nonlocal total, rows, place
            batch = await store.write(transitions.prune, wanted, clock.now(), place)
            total += batch.runs
            rows = {noun: rows.get(noun, 0) + count for noun, count in batch.rows.items()} or rows
            advance(batch.runs)
            place = batch.next_place
            return place is not None

        await clearing.batches(remove)
    return transitions.Pruned(total, rows)


@contextlib.contextmanager
def _progress(expected: int) -> Iterator[Callable[[int], None]]:
    """A bar, where somebody looks."""
    from receiver.cli import tables

    with tables.progress() as bar:
        task = bar.add_task("removing", total=expected)
        yield lambda count: bar.advance(task, count)


def _tell_people(
    found: transitions.Survey, removed: transitions.Pruned | None, given_back: space.Space | None
) -> None:
    from receiver.cli import figures

    if removed is None:
        print(_found(found))
        return
    nouns = ", ".join(f"{figures.count(count)} {noun}" for noun, count in removed.rows.items() if count)
    print(f"The content of {figures.count(removed.runs)} runs is removed" + (f": {nouns}." if nouns else "."))
    if given_back is None:
        return
    before, after = figures.size(given_back.before), figures.size(given_back.after)
    print(f"The database had {before} and has {after}.")
    if given_back.free > given_back.after // 10:
        print(f"{figures.size(given_back.free)} of it are free and will be used again; --vacuum gives them back.")


def _found(found: transitions.Survey) -> str:
    from receiver.cli import figures

    busy = f" {figures.count(found.busy)} more have open jobs and stay." if found.busy else ""
    if not found.runs:
        return f"There is nothing to remove.{busy}"
    span = f"settled from {figures.instant(found.oldest)} to {figures.instant(found.newest)}"
    nouns = ", ".join(f"{figures.count(count)} {noun}" for noun, count in found.rows.items() if count)
    held = f" with {nouns}" if nouns else ""
    return f"{figures.count(found.runs)} runs{held}, about {figures.size(found.size)}, {span}.{busy}"


def _tell_programs(
    found: transitions.Survey, removed: transitions.Pruned | None, given_back: space.Space | None
) -> None:
    """What was removed, or with `dryRun` what would be."""
    from storage import columns

    told: dict[str, Any] = {
        "dryRun": removed is None,
        "runs": found.runs if removed is None else removed.runs,
        **{noun: (found.rows if removed is None else removed.rows).get(noun, 0) for noun in found.rows},
        "busyRuns": found.busy,
        "contentBytes": found.size,
        "oldest": columns.text(found.oldest) if found.oldest else None,
        "newest": columns.text(found.newest) if found.newest else None,
        "fileBytesBefore": given_back.before if given_back else None,
        "fileBytesAfter": given_back.after if given_back else None,
        "fileBytesFree": given_back.free if given_back else None,
    }
    print(json.dumps(told))
