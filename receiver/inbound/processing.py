"""Process a stored delivery again: a rejected event that verifies by now, or an accepted one to fetch its run."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime

from receiver import errors
from receiver.crypto import signatures
from receiver.inbound import events, payload_hints, webhook_secrets
from storage import merkle, states
from storage.engine import database
from storage.repositories import deliveries
from storage.transitions import retrying


@dataclass(frozen=True, slots=True)
class Processor:
    """Processes stored deliveries with the secrets that are known now."""

    store: database.Database
    secrets: webhook_secrets.WebhookSecrets

    async def __call__(self, delivery_id: str, actor: str, now: datetime) -> deliveries.StoredDelivery:
        """Process a delivery again and return the row that represents it. `actor` is recorded in the ledger.

        Raises NotFound, NotProcessable, Unavailable.
        """
        found = await self.store.read(deliveries.find, delivery_id)
        if found is None:
            raise errors.NotFound("there is no delivery with that id")
        if found.verdict is not states.Verdict.REJECTED:
            if await self.store.write(retrying.refresh_run, found, actor, now) is None:
                raise errors.NotProcessable(_nothing_to_ask(found))
            return found
        await self.secrets.refresh(now)
        verified = await asyncio.to_thread(verify, found, self.secrets.usable(found.received_at))
        receipt = await self.store.write(retrying.accept_rejected, verified, actor, now)
        stored = await self.store.read(deliveries.find, delivery_id if receipt is None else receipt.id)
        if stored is None:
            raise errors.NotFound("the delivery was removed meanwhile")
        return stored


def verify(stored: deliveries.StoredDelivery, secrets: list[signatures.Secret]) -> deliveries.Delivery:
    """Return a rejected event as a verified delivery, if a known secret has signed its stored bytes.

    How far its timestamp is from its arrival does not matter: an operator has decided, and the dedupe key refuses
    a second one. Raises NotProcessable.
    """
    body, headers = stored.body or b"", dict(stored.headers or {})
    _require_whole(stored, body)
    check = signatures.Check(signatures.signature_headers(headers), secrets)
    check.update(body)
    note = None
    try:
        proof: signatures.Verified | errors.OutsideTolerance = check.verified(stored.received_at.timestamp())
    except errors.OutsideTolerance as late:
        proof, note = late, "its timestamp is outside the tolerance: processed on request"
    except errors.BadSignature as bad:
        raise errors.NotProcessable(f"it does not verify: {bad.reason}") from None
    event, canonical = payload_hints.event(body), merkle.canonical(headers)
    return deliveries.Delivery(
        stored.id,
        states.Source.PLATFORM,
        events.dedupe_key(event, proof.delivery_id, stored.body_sha256, is_truncated=False),
        stored.received_at,
        merkle.CanonicalJson(canonical.decode()),
        body,
        stored.body_sha256,
        remote_addr=stored.remote_addr,
        digests=(*merkle.salted_digest("headers", canonical), *merkle.salted_digest("body", body)),
        **events.claims(event, proof.secret, note),
    )


def _require_whole(stored: deliveries.StoredDelivery, body: bytes) -> None:
    """Raise NotProcessable for a request that no signature can be checked of."""
    if stored.source is not states.Source.PLATFORM:
        raise errors.NotProcessable("a callback is proved by its address, which is not stored of a rejected one")
    if stored.size != len(body):
        raise errors.NotProcessable(
            f"of its {stored.size} bytes only {len(body)} are stored, so it cannot be checked"
        )


def _nothing_to_ask(stored: deliveries.StoredDelivery) -> str:
    if stored.run_id is None:
        return "it belongs to no run, so there is nothing to fetch"
    return (
        f"the upstream cannot be asked about run {stored.run_id}: it has no id there, or its content was removed"
    )
