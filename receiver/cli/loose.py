"""Removing requests to the public endpoints that belong to no run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from receiver.cli import confirming, sentences

if TYPE_CHECKING:
    from storage import database, space, transitions


async def prune(before: str, address: str | None, dry_run: bool, yes: bool, vacuum: bool, as_json: bool) -> None:
    """Remove them, and say what was removed. Raises Complaint, BadFilter."""
    import asyncio

    from receiver import clock
    from receiver.cli import opening
    from storage import space, spans, transitions

    chosen = transitions.Chosen(spans.moment("before", before, clock.now()), _plain(address))
    async with opening.existing() as store:
        found = await store.read(transitions.loose, chosen)
        removed, given_back = None, None
        if not dry_run and (found.rejected or found.unlinked or vacuum):
            if not yes:
                confirming.demand_yes(_found(found))
            removed = await _remove(store, chosen)
            given_back = await asyncio.to_thread(space.give_back, store.url, rewrite=vacuum)
    if as_json:
        print(json.dumps(_object(found, removed, given_back)))
    else:
        print(_found(found) if removed is None else _removed(removed))


def _plain(address: str | None) -> str | None:
    """Return the address as deliveries have it. Raises Complaint."""
    from receiver import addresses

    if address is not None and not addresses.is_literal(address):
        raise sentences.Complaint(f"--address {address!r} is no address", sentences.USAGE)
    return addresses.spelled(address)


async def _remove(store: database.Database, chosen: transitions.Chosen) -> transitions.Cleared:
    """Remove them batch by batch, as the server does."""
    from receiver import clearing, clock
    from storage import transitions

    rejected = unlinked = 0

    async def remove() -> bool:
        nonlocal rejected, unlinked
        batch = await store.write(transitions.clear, chosen, clock.now(), "operator")
        rejected, unlinked = rejected + batch.rejected, unlinked + batch.unlinked
        return batch.goes_on

    await clearing.batches(remove)
    return transitions.Cleared(rejected, unlinked, goes_on=False)


def _found(found: transitions.Loose) -> str:
    from receiver.cli import figures

    if not (found.rejected or found.unlinked):
        return "There is nothing to remove."
    rejected, unlinked = figures.count(found.rejected), figures.count(found.unlinked)
    size, oldest = figures.size(found.size), figures.instant(found.oldest)
    return (
        f"{rejected} requests that did not verify and {unlinked} verified ones of no run, {size}, since {oldest}."
    )


def _removed(removed: transitions.Cleared) -> str:
    from receiver.cli import figures

    return (
        f"{figures.count(removed.rejected)} requests that did not verify are deleted, and the content of "
        f"{figures.count(removed.unlinked)} verified ones is removed."
    )


def _object(
    found: transitions.Loose, removed: transitions.Cleared | None, given_back: space.Space | None
) -> dict[str, object]:
    from storage import columns

    return {
        "dryRun": removed is None,
        "rejected": found.rejected if removed is None else removed.rejected,
        "unlinked": found.unlinked if removed is None else removed.unlinked,
        "contentBytes": found.size,
        "oldest": columns.text(found.oldest) if found.oldest else None,
        "fileBytesBefore": given_back.before if given_back else None,
        "fileBytesAfter": given_back.after if given_back else None,
    }
