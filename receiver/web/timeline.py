"""The timeline of a run: its ledger entries, its deliveries and its notification in one order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Generic, NamedTuple, TypeVar

from receiver.schemas import changes
from receiver.schemas import notification as schemas_notification
from storage.engine import column_types
from storage.repositories import deliveries, ledger_changes, notifications

#: The most deliveries that the timeline of a run shows.
DELIVERIES = 1000
D = TypeVar("D")


class Entry(NamedTuple, Generic[D]):
    """What happened, in the order of the fields of its object. `delivery` is the request behind it."""

    at: str
    kind: str
    actor: str
    facts: Mapping[str, Any]
    number: int | None
    delivery: D | None


def merge(
    ledger: Sequence[ledger_changes.Change],
    received: Mapping[str, tuple[deliveries.StoredDelivery, D]],
    sent: notifications.Notification | None,
) -> list[Entry[D]]:
    """Return all entries, oldest first. `received` are the deliveries by their ids, each with what stands for it.

    The ledger entry of a delivery that came before its run was known does not name the run, so the delivery has a
    timeline entry of its own.
    """
    unmatched = dict(received)
    entries = list(_ledger(ledger, unmatched))
    for stored, shown in unmatched.values():
        facts = {"deliveryId": stored.id, "source": stored.source.value}
        entries.append(_entry(stored.received_at, f"delivery.{stored.verdict}", "upstream", facts, None, shown))
    entries += [] if sent is None else [_notification(sent)]
    return sorted(entries, key=lambda entry: entry.at)


def _ledger(
    ledger: Sequence[ledger_changes.Change], unmatched: dict[str, tuple[deliveries.StoredDelivery, D]]
) -> Iterator[Entry[D]]:
    """Yield the entries of the ledger, and take the deliveries that they name out of `unmatched`."""
    for change in ledger:
        facts = changes.values(change).facts
        _, shown = unmatched.pop(str(facts.get("deliveryId", "")), (None, None))
        yield _entry(change.at, change.kind, change.actor, facts, change.number, shown)


def _notification(sent: notifications.Notification) -> Entry[Any]:
    """Return the state of the notification, which the ledger does not record."""
    facts = {"webhookId": sent.event_id, "attempts": sent.attempts, "status": sent.last_status}
    known = {name: value for name, value in facts.items() if value is not None}
    at = sent.delivered_at or sent.stopped_at or sent.last_attempt_at or sent.created_at
    return _entry(at, f"notification.{schemas_notification.state(sent)}", "worker", known, None, None)


def _entry(at: datetime, *values: Any) -> Entry[Any]:
    return Entry(column_types.instant_text(at), *values)
