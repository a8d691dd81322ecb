"""What is stored of a signed event: its dedupe key, and what its envelope claims."""

from __future__ import annotations

from typing import Any

from receiver.inbound import payload_hints
from storage.repositories import deliveries

#: The characters of an event's id that are stored in its column and in the ledger.
ID_LENGTH = 200


def dedupe_key(event: payload_hints.Event, delivery_id: str, sha256: str, *, is_truncated: bool) -> str:
    """Return the dedupe key of an event: the id of its envelope, whatever the id of the delivery.

    An envelope without a usable id is identified by its delivery, by the id that was signed: a proxy may have
    doubled the header on one try alone. So is a truncated one, since its unread end may contain another id than
    its beginning.
    """
    if event.id and not is_truncated:
        return deliveries.event_key(event.id)
    return deliveries.delivery_key(delivery_id) if delivery_id else f"{deliveries.BODY_KEY}{sha256}"


def claims(event: payload_hints.Event, secret: str, note: str | None) -> dict[str, Any]:
    """Return the fields of a delivery that its envelope claims; `note` is the reason that is stored with it."""
    return {
        "upstream_id": event.run_id,
        "status": event.status,
        "event_id": event.id and event.id[:ID_LENGTH],
        "event_type": event.type,
        "secret_used": secret,
        "reason": note or (None if event.id else "the envelope has no usable id"),
    }
