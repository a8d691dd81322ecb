"""What comes to the public endpoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from storage import columns, database, deliveries, house, jobs, ledger, links, runs, states
from storage.transitions import adoption


@dataclass(frozen=True, slots=True)
class _Placed:
    """A delivery with the run of ours that it is about, and another one that its body names.

    `is_pruned` says whether the content of its run was removed: then this one's is not kept either.
    """

    delivery: deliveries.Delivery
    run: runs.Run | None
    other: runs.Run | None
    is_pruned: bool = False

    @property
    def run_id(self) -> str | None:
        return None if self.run is None else self.run.id

    def row(self, **changes: Any) -> dict[str, Any]:
        blank = deliveries.BLANK if self.is_pruned else {}
        return deliveries.row(self.delivery, run_id=self.run_id, reason=self.reason, **blank, **changes)

    @property
    def reason(self) -> str | None:
        ours = None if self.run is None else self.run.upstream_id
        named = self.delivery.upstream_id
        if self.run is None and self.delivery.run_id is not None:
            return f"the run of its address is not known here: {self.delivery.run_id}"
        is_about_it = named is None or ours in (named, *self.delivery.also_named)
        # A run whose upstream id is not committed yet is contradicted only by the id of another one.
        if is_about_it or (ours is None and self.other is None):
            return self.delivery.reason
        return f"the body names another run: {named}"


@database.batch
def accept_delivery(
    connection: Connection, group: Sequence[deliveries.Delivery]
) -> Mapping[str, deliveries.Receipt]:
    """Commits verified deliveries together with what follows from them.

    The unique dedupe key decides which is the first of its kind; a duplicate is a row too, up to a bound, and
    nudges a run that is not settled. Answers the receipt of each by its id.
    """
    placed = sorted(_place(connection, group), key=lambda each: each.delivery.dedupe_key)  # in order of the locks
    new = deliveries.insert_accepted(connection, [each.row() for each in placed])
    deliveries.hold(connection, {each.dedupe_key for each in group if each.id not in new})
    holders = deliveries.holders(connection, [delivery.dedupe_key for delivery in group])
    first = [each for each in placed if holders[each.delivery.dedupe_key].id == each.delivery.id]
    again = [each for each in placed if holders[each.delivery.dedupe_key].id != each.delivery.id]
    told = [each for each in first if each.delivery.id in new]  # an earlier try of ours told the others
    ledger.append(connection, [_entry(each, ledger.Kind.DELIVERY_ACCEPTED) for each in told])
    ledger.append(connection, [conflict for each in told if (conflict := _conflict(each))])
    jobs.wish(connection, [wish for each in placed for wish in _nudges(each)])
    receipts = {each.delivery.id: _receipt(each.delivery.id, states.Verdict.ACCEPTED, each) for each in first}
    return receipts | _duplicates(connection, again, holders)


def _place(connection: Connection, group: Sequence[deliveries.Delivery]) -> list[_Placed]:
    """Finds the run of each by its token, or by the upstream id that a signed event names."""
    known = _known(connection, group)
    known |= _taken_back(connection, [each for each in group if each.run_id is not None], known)
    placed = []
    for each in group:
        told = [known[id_] for id_ in (each.upstream_id, *each.also_named) if id_ in known]
        if each.run_id is None:
            placed.append(_Placed(each, next(iter(told), None), None))
        else:
            other = next((run for run in told if run.id != each.run_id), None)
            placed.append(_Placed(each, known.get(each.run_id), other))
    ended = {each.run.id for each in placed if each.run is not None and each.run.is_terminal}
    pruned = runs.pruned(connection, sorted(ended))
    return [replace(each, is_pruned=each.run_id in pruned) for each in placed]


def _known(connection: Connection, group: Sequence[deliveries.Delivery]) -> dict[str, runs.Run]:
    """The runs that a group names, by the ids in it.

    An id that nobody knows may be committed just now: then either we see it, or who commits it sees our delivery.
    """
    named = {id_ for each in group for id_ in (each.run_id, each.upstream_id, *each.also_named) if id_ is not None}
    known = runs.find_many(connection, sorted(named))
    unknown = {each.upstream_id for each in group if each.run_id is None and each.upstream_id} - known.keys()
    if unknown:
        links.one_by_one(connection, unknown)
        known |= runs.find_many(connection, sorted(unknown))
    return known


def _taken_back(
    connection: Connection, group: Sequence[deliveries.Delivery], known: Mapping[str, runs.Run]
) -> dict[str, runs.Run]:
    """Runs whose address we once gave out and do not know, since we were restored from a copy that is older."""
    strange = {each.run_id: each for each in reversed(group) if each.run_id not in known}
    if not strange or house.origin(connection).restored_at is None:
        return {}
    found: dict[str, runs.Run] = {}
    for run_id, each in sorted(strange.items(), key=lambda item: item[1].upstream_id or ""):
        if run_id is None or each.upstream_id is None or each.upstream_id in known:
            continue
        run = adoption.take_back(connection, run_id, each.upstream_id, each.received_at)
        if run is not None:
            found |= {run_id: run, each.upstream_id: run}
    return found


def _duplicates(
    connection: Connection, again: Sequence[_Placed], holders: Mapping[str, deliveries.Holder]
) -> dict[str, deliveries.Receipt]:
    """A row for each duplicate while its key has few of them; then only a count on the accepted row."""
    rows: list[dict[str, Any]] = []
    kept: list[_Placed] = []
    receipts: dict[str, deliveries.Receipt] = {}
    taken = {key: holder.duplicates for key, holder in holders.items()}
    for each in again:
        holder = holders[each.delivery.dedupe_key]
        taken[each.delivery.dedupe_key] += 1
        if taken[each.delivery.dedupe_key] > deliveries.ROWS_PER_KEY:
            deliveries.repeat(connection, holder.id, 1, each.delivery.received_at)
            receipts[each.delivery.id] = _receipt(holder.id, states.Verdict.DUPLICATE, each)
            continue
        rows.append(_duplicate_row(each, holder))
        kept.append(each)
        receipts[each.delivery.id] = _receipt(each.delivery.id, states.Verdict.DUPLICATE, each)
    new = deliveries.insert_duplicates(connection, rows)
    told = [each for each in kept if each.delivery.id in new]
    ledger.append(connection, [_entry(each, ledger.Kind.DELIVERY_DUPLICATE) for each in told])
    return receipts


def _duplicate_row(placed: _Placed, holder: deliveries.Holder) -> dict[str, Any]:
    verdict = states.Verdict.DUPLICATE.value
    return placed.row(verdict=verdict, duplicate_of=holder.id, dedupe_key=None)


def _receipt(delivery_id: str, verdict: states.Verdict, placed: _Placed) -> deliveries.Receipt:
    return deliveries.Receipt(delivery_id, verdict, placed.run_id)


def _nudges(placed: _Placed) -> list[jobs.Wish]:
    """The body is a hint: whatever it says, the upstream is asked about each run concerned that is not settled."""
    concerned = [run for run in (placed.run, placed.other) if run is not None and not run.is_terminal]
    at, road = placed.delivery.received_at, placed.delivery.road
    return [jobs.Wish(states.Kind.SETTLE, run.id, at, road) for run in concerned]


def _entry(placed: _Placed, kind: ledger.Kind) -> ledger.Entry:
    delivery = placed.delivery
    facts: dict[str, ledger.Fact | None] = {
        "deliveryId": delivery.id,
        "road": delivery.road.value,
        "eventId": delivery.event_id,
        "size": delivery.size,
        "secretUsed": delivery.secret_used,
    }
    digests = () if placed.is_pruned else delivery.digests
    return ledger.Entry(kind, delivery.received_at, placed.run_id, "upstream", facts, digests)


def _conflict(placed: _Placed) -> ledger.Entry | None:
    """A report of another end than the one that stands. What stands is kept."""
    run, delivery = placed.run, placed.delivery
    if run is None or not run.is_terminal or delivery.status in (None, run.status.value) or placed.other:
        return None
    if delivery.status not in states.REPORTED or placed.reason != delivery.reason:
        return None
    facts: dict[str, ledger.Fact | None] = {
        "reported": delivery.status,
        "kept": run.status.value,
        "road": delivery.road.value,
    }
    return ledger.Entry(ledger.Kind.RUN_CONFLICT, delivery.received_at, run.id, "upstream", facts)


def reject(connection: Connection, rejected: Sequence[deliveries.Rejected]) -> None:
    """Keeps a handful of requests that did not verify; nothing follows from them."""
    deliveries.insert_rejected(connection, rejected)


def count_rejections(connection: Connection, hour: datetime, counts: Mapping[str, int]) -> None:
    """Adds to the counts of `hour`, and tells the ledger of every hour before it that is not told yet."""
    deliveries.count_rejections(connection, hour, counts)
    for told, by_cause in deliveries.close_hours(connection, hour).items():
        facts: dict[str, ledger.Fact | None] = {"hour": columns.text(told), "counts": by_cause}
        ledger.append(connection, [ledger.Entry(ledger.Kind.REJECTIONS_COUNTED, hour, None, "worker", facts)])
