"""Requests at the public endpoints: verified deliveries and rejections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection

from storage import states
from storage.engine import column_types, database, dialect, writer
from storage.ledger import entries
from storage.repositories import deliveries, jobs, runs, system_state, upstream_links
from storage.transitions import adopting


class _Matched(msgspec.Struct, frozen=True):
    """A delivery with its run, and another run that its body names.

    `is_pruned` says that the content of its run was removed: then the content of this delivery is not stored
    either.
    """

    delivery: deliveries.Delivery
    run: upstream_links.NamedRun | None
    other: upstream_links.NamedRun | None
    is_pruned: bool = False

    @property
    def run_id(self) -> str | None:
        return None if self.run is None else self.run.id

    def is_first(self, holders: Mapping[str, deliveries.AcceptedRow]) -> bool:
        """Return whether the delivery is the accepted one of its key; `holders` are those of keys with several."""
        holder = holders.get(self.delivery.dedupe_key)
        return holder is None or holder.id == self.delivery.id

    def row(self, duplicate_of: str | None = None) -> dict[str, Any]:
        """Return the columns of the accepted delivery, or of a duplicate of it."""
        row = deliveries.to_row(self.delivery, self.run_id, self.reason, duplicate_of)
        if not self.is_pruned:
            return row
        is_digest = self.delivery.dedupe_key.startswith(deliveries.BODY_KEY)
        return row | deliveries.ERASED_CONTENT | ({"dedupe_key": None} if is_digest else {})

    @property
    def reason(self) -> str | None:
        upstream_id = None if self.run is None else self.run.upstream_id
        named = self.delivery.upstream_id
        if self.run is None and self.delivery.run_id is not None:
            return f"the run of its address is not known here: {self.delivery.run_id}"
        is_about_it = named is None or upstream_id in (named, *self.delivery.also_named)
        # A run whose upstream id is not committed yet is contradicted only by the id of another run.
        if is_about_it or (upstream_id is None and self.other is None):
            return self.delivery.reason
        return f"the body names another run: {named}"


@database.batch
def accept_delivery(
    connection: Connection, batch: Sequence[deliveries.Delivery]
) -> Mapping[str, deliveries.Receipt]:
    """Commit verified deliveries together with what follows from them.

    The unique dedupe key decides which delivery is the first. A duplicate is a row too, up to a bound, and
    requests a settle of a run that is not settled. Return the receipt of each delivery by its id.
    """
    matched = sorted(_match(connection, batch), key=lambda each: each.delivery.dedupe_key)  # in lock order
    new = deliveries.insert_new(connection, [each.row() for each in matched])
    known = sorted({each.dedupe_key for each in batch if each.id not in new})
    deliveries.lock_keys(connection, known)
    holders = deliveries.accepted_rows(connection, known)
    duplicates = [each for each in matched if not each.is_first(holders)]
    first = [each for each in matched if each.is_first(holders)]
    to_record = [each for each in first if each.delivery.id in new]  # an earlier try recorded the others
    accepted = [_entry(each, entries.Kind.DELIVERY_ACCEPTED) for each in to_record]
    entries.append(connection, accepted + [conflict for each in to_record if (conflict := _conflict(each))])
    requests = [request for each in matched for request in _settle_requests(each)]
    if requests:
        jobs.enqueue(connection, requests)
    else:
        writer.leave_no_work(connection)
    receipts = {each.delivery.id: _receipt(each.delivery.id, states.Verdict.ACCEPTED, each) for each in first}
    return receipts | _duplicates(connection, duplicates, holders)


def _match(connection: Connection, batch: Sequence[deliveries.Delivery]) -> list[_Matched]:
    """Find the run of each delivery by its token, or by the upstream id in a signed event."""
    known = _find_runs(connection, batch)
    known |= _readopt(connection, [each for each in batch if each.run_id is not None], known)
    matched = []
    for each in batch:
        named = [known[id_] for id_ in (each.upstream_id, *each.also_named) if id_ in known]
        if each.run_id is None:
            matched.append(_Matched(each, next(iter(named), None), None))
        else:
            other = next((run for run in named if run.id != each.run_id), None)
            matched.append(_Matched(each, known.get(each.run_id), other))
    ended = {each.run.id for each in matched if each.run is not None and each.run.is_terminal}
    pruned = runs.find_pruned(connection, sorted(ended))
    return [msgspec.structs.replace(each, is_pruned=True) if each.run_id in pruned else each for each in matched]


def _find_runs(connection: Connection, batch: Sequence[deliveries.Delivery]) -> dict[str, upstream_links.NamedRun]:
    """Return the runs that a batch names, by the ids in it.

    An unknown id may be committed at this moment. Then either this transaction sees it, or the one that commits it
    sees our delivery.
    """
    named = {id_ for each in batch for id_ in (each.run_id, each.upstream_id, *each.also_named) if id_ is not None}
    known = upstream_links.find_named(connection, sorted(named))
    unknown = {each.upstream_id for each in batch if each.run_id is None and each.upstream_id} - known.keys()
    if unknown and not dialect.is_embedded(connection):
        upstream_links.lock_ids(connection, unknown)
        known |= upstream_links.find_named(connection, sorted(unknown))
    return known


def _readopt(
    connection: Connection, batch: Sequence[deliveries.Delivery], known: Mapping[str, upstream_links.NamedRun]
) -> dict[str, upstream_links.NamedRun]:
    """Adopt runs that a restore from an older copy has lost; a callback address proves that a run is ours."""
    unmatched = {each.run_id: each for each in reversed(batch) if each.run_id not in known}
    if not unmatched or system_state.copy_status(connection).restored_at is None:
        return {}
    found: dict[str, upstream_links.NamedRun] = {}
    for run_id, each in sorted(unmatched.items(), key=lambda item: item[1].upstream_id or ""):
        if run_id is None or each.upstream_id is None or each.upstream_id in known:
            continue
        run = adopting.readopt(connection, run_id, each.upstream_id, each.received_at)
        if run is not None:
            named = upstream_links.NamedRun(run.id, run.upstream_id, run.status)
            found |= {run_id: named, each.upstream_id: named}
    return found


def _duplicates(
    connection: Connection, duplicates: Sequence[_Matched], holders: Mapping[str, deliveries.AcceptedRow]
) -> dict[str, deliveries.Receipt]:
    """Insert a row per duplicate while its key has few of them; then only count on the accepted row."""
    rows: list[dict[str, Any]] = []
    stored: list[_Matched] = []
    receipts: dict[str, deliveries.Receipt] = {}
    taken = {key: holder.duplicates for key, holder in holders.items()}
    for each in duplicates:
        holder = holders[each.delivery.dedupe_key]
        taken[each.delivery.dedupe_key] += 1
        if taken[each.delivery.dedupe_key] > deliveries.MAX_ROWS_PER_KEY:
            deliveries.count_repeats(connection, holder.id, 1, each.delivery.received_at)
            receipts[each.delivery.id] = _receipt(holder.id, states.Verdict.DUPLICATE, each)
            continue
        rows.append(each.row(holder.id))
        stored.append(each)
        receipts[each.delivery.id] = _receipt(each.delivery.id, states.Verdict.DUPLICATE, each)
    new = deliveries.insert_new(connection, rows)
    to_record = [each for each in stored if each.delivery.id in new]
    entries.append(connection, [_entry(each, entries.Kind.DELIVERY_DUPLICATE) for each in to_record])
    return receipts


def _receipt(delivery_id: str, verdict: states.Verdict, matched: _Matched) -> deliveries.Receipt:
    return deliveries.Receipt(delivery_id, verdict, matched.run_id)


def _settle_requests(matched: _Matched) -> list[jobs.JobRequest]:
    """Return a settle request for each named run that has not ended: the body is only a hint."""
    concerned = [run for run in (matched.run, matched.other) if run is not None and not run.is_terminal]
    at, source = matched.delivery.received_at, matched.delivery.source
    return [jobs.JobRequest(states.Kind.SETTLE, run.id, at, source) for run in concerned]


def _entry(matched: _Matched, kind: entries.Kind) -> entries.Entry:
    delivery = matched.delivery
    facts: dict[str, entries.Fact | None] = {
        "deliveryId": delivery.id,
        "source": delivery.source.value,
        "eventId": delivery.event_id,
        "size": delivery.size,
        "secretUsed": delivery.secret_used,
    }
    digests = () if matched.is_pruned else delivery.digests
    return entries.Entry(kind, delivery.received_at, matched.run_id, "upstream", facts, digests)


def _conflict(matched: _Matched) -> entries.Entry | None:
    """Return the entry for a report that differs from the stored end; the stored end is kept."""
    run, delivery = matched.run, matched.delivery
    if run is None or not run.is_terminal or delivery.status in (None, run.status.value) or matched.other:
        return None
    if delivery.status not in states.REPORTED or matched.reason != delivery.reason:
        return None
    facts: dict[str, entries.Fact | None] = {
        "reported": delivery.status,
        "kept": run.status.value,
        "source": delivery.source.value,
    }
    return entries.Entry(entries.Kind.RUN_CONFLICT, delivery.received_at, run.id, "upstream", facts)


def store_rejected(connection: Connection, rejected: Sequence[deliveries.RejectedRequest]) -> None:
    """Store requests that did not verify; nothing follows from them."""
    deliveries.insert_rejected(connection, rejected)


def count_rejections(connection: Connection, hour: datetime, counts: Mapping[str, int]) -> None:
    """Add to the counts of `hour`, and record in the ledger each earlier hour that is not recorded yet."""
    deliveries.count_rejections(connection, hour, counts)
    for closed_hour, by_cause in deliveries.close_hours(connection, hour).items():
        facts: dict[str, entries.Fact | None] = {
            "hour": column_types.instant_text(closed_hour),
            "counts": by_cause,
        }
        entries.append(connection, [entries.Entry(entries.Kind.REJECTIONS_COUNTED, hour, None, "worker", facts)])
