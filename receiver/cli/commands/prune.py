"""The command that removes the content of old runs and of requests without a run, and frees the space."""

from __future__ import annotations

import asyncio
import re
from typing import Annotated, Any

from receiver import client_address, clock
from receiver.cli import api_calls, event_loop, open_database, options
from receiver.cli.errors import USAGE, CommandError
from receiver.cli.parameters import flag, option
from receiver.cli.proof import erasing as removing
from receiver.cli.render import format as render_format
from receiver.cli.render import json_lines, terminal
from receiver.schemas import query_parameters
from receiver.worker import retention
from storage import states
from storage.engine import database
from storage.maintenance import vacuum as maintenance_vacuum
from storage.query import grammar, value_ranges
from storage.retention import erasing, unmatched

app = event_loop.commands()

_AGE = re.compile(r"\d+(\.\d+)?\s*(ms|s|m|h|d)", re.ASCII)


SettledBefore = Annotated[
    str | None, option("AGE|DATE", "Settled longer ago than 90d, or before 2026-01-01 (UTC).")
]
Rejected = Annotated[bool, flag("--rejected", "Remove requests that belong to no run, see above.")]
Vacuum = Annotated[bool, flag("--vacuum", "Rewrite the file: needs twice its size on disk, and blocks writers.")]


@app.command()
async def prune(
    settled_before: SettledBefore = None,
    rejected: Rejected = False,
    before: Annotated[str | None, option("AGE|DATE", "With --rejected: received longer ago, or before.")] = None,
    address: Annotated[str | None, option("ADDRESS", "With --rejected: from this address alone.")] = None,
    agent: options.Agent = None,
    tag: options.Tag = None,
    dry_run: Annotated[bool, flag("--dry-run", "Show what would be removed, and remove nothing.")] = False,
    yes: Annotated[bool, flag("--yes", "Do not ask.")] = False,
    vacuum: Vacuum = False,
    as_json: options.Json = False,
) -> None:
    """Remove the content of old runs; measures and ledger stay.

    Prompts, results, steps, documents, events and the bodies of deliveries are
    removed, and the salts by which the ledger's digests of them could be
    checked. State, times, cost, tokens, agent, model, tags and idempotency key
    stay, and every proof of the ledger holds. Runs with a job stay whole. It
    runs beside a server, and may be stopped and started again at any time.

    With --rejected: requests to the public endpoints that belong to no run.
    Those that did not verify are deleted, the others lose their content. The
    worker does this by itself after RUNLEDGER_REJECTED_DAYS.

    \b
    Examples:
      runledger prune --settled-before 90d --dry-run
      runledger prune --settled-before 2026-01-01 --tag matter=0042 --yes
      runledger prune --rejected --before 0d --address 203.0.113.7
    """
    if rejected:
        if before is None or settled_before is not None or agent or tag:
            raise CommandError("--rejected can be combined with --before and --address only", USAGE)
        moment = value_ranges.moment("before", before, clock.now())
        if address is not None and not client_address.is_literal(address):
            raise CommandError(f"--address {address!r} is no address", USAGE)
        chosen = unmatched.UnmatchedFilter(moment, client_address.spelled(address))
        await _prune_deliveries(chosen, dry_run, yes, vacuum, as_json)
        return
    if settled_before is None or before is not None or address is not None:
        raise CommandError("name runs with --settled-before, or requests with --rejected --before", USAGE)
    reason = f"prune --settled-before {settled_before.strip()}"
    erasure = erasing.Erasure(reason, "operator", states.ErasureCause.RETENTION)
    how = removing.Options(dry_run, yes, vacuum)
    outcome = await removing.remove(_expression(settled_before, agent, tag), erasure, how)
    if as_json:
        json_lines.mapping(removing.fields(outcome))
    else:
        removing.show(outcome)


def _expression(before: str, agent: list[str] | None, tag: list[str] | None) -> grammar.Expression:
    """Return the filter of the runs to prune. Raise BadFilter, BadParameter."""
    now, text = clock.now(), before.strip()
    spelled = f"<-{text}" if _AGE.fullmatch(text) else f"<{text}"
    chosen = api_calls.parameters(query_parameters.RunFilter, {"agent": agent, "tag": options.tags(tag)})
    ended = value_ranges.instants("settled_before", spelled, now)
    return grammar.all_of(chosen.expression(now), grammar.InRange("settled", (ended,)))


async def _prune_deliveries(
    chosen: unmatched.UnmatchedFilter, dry_run: bool, yes: bool, vacuum: bool, as_json: bool
) -> None:
    removed, freed = None, None
    async with open_database.existing() as store:
        found = await store.read(unmatched.count_unmatched, chosen)
        if not dry_run and (found.rejected or found.unlinked or vacuum):
            if not yes:
                terminal.demand_yes(_found_deliveries(found))
            removed = await _remove_deliveries(store, chosen)
            freed = await asyncio.to_thread(maintenance_vacuum.shrink, store.url, rewrite=vacuum)
    if as_json:
        json_lines.mapping(_deliveries_object(found, removed, freed))
    elif removed is None:
        print(_found_deliveries(found))
    else:
        rejected, unlinked = render_format.count(removed.rejected), render_format.count(removed.unlinked)
        print(
            f"{rejected} requests that did not verify are deleted, and the content of "
            f"{unlinked} verified ones is removed."
        )


async def _remove_deliveries(
    store: database.Database, chosen: unmatched.UnmatchedFilter
) -> unmatched.RemovedDeliveries:
    """Remove batch by batch, as the server does."""
    rejected = unlinked = 0

    async def remove() -> bool:
        nonlocal rejected, unlinked
        batch = await store.write(unmatched.remove_unmatched, chosen, clock.now(), "operator")
        rejected, unlinked = rejected + batch.rejected, unlinked + batch.unlinked
        return batch.has_more

    await retention.repeat(remove)
    return unmatched.RemovedDeliveries(rejected, unlinked, has_more=False)


def _found_deliveries(found: unmatched.UnmatchedDeliveries) -> str:
    if not (found.rejected or found.unlinked):
        return "There is nothing to remove."
    rejected, unlinked = render_format.count(found.rejected), render_format.count(found.unlinked)
    size, oldest = render_format.size(found.size), render_format.instant(found.oldest)
    return (
        f"{rejected} requests that did not verify and {unlinked} verified ones of no run, {size}, since {oldest}."
    )


def _deliveries_object(
    found: unmatched.UnmatchedDeliveries,
    removed: unmatched.RemovedDeliveries | None,
    freed: maintenance_vacuum.VacuumResult | None,
) -> dict[str, Any]:
    return {
        "dryRun": removed is None,
        **json_lines.fields(removed or found, "rejected", "unlinked"),
        "contentBytes": found.size,
        "oldest": found.oldest,
        "fileBytesBefore": freed.before if freed else None,
        "fileBytesAfter": freed.after if freed else None,
    }
