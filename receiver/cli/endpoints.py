"""The endpoint for platform events, for the verbs about it: what they work with, how it is shown."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from receiver import backoff, callbacks, errors, keyring, registration, settings, vault
from receiver.cli import figures, opening, sentences, tables
from receiver.upstream import client, webhooks
from storage import columns, database, deliveries, states
from storage import webhooks as stored


@dataclass(frozen=True, slots=True)
class Desk:
    """What the verbs work with, out of one reading of the settings."""

    given: settings.Settings
    store: database.Database
    registrar: registration.Registrar
    keyring: keyring.Keyring

    @property
    def url(self) -> str:
        """Where events are to be sent. Raises SettingsError where nobody could reach us."""
        if not self.given.public_url:
            raise errors.SettingsError(
                "RUNLEDGER_PUBLIC_URL is empty: set it to the https address at which Case.dev reaches this server"
            )
        return self.given.public_url + callbacks.EVENTS

    async def endpoint(self) -> stored.Endpoint:
        """The endpoint that is registered. Raises Complaint."""
        found = await self.store.read(stored.standing)
        if found is None or found.upstream_id is None:
            raise sentences.Complaint("no webhook endpoint is registered: `runledger webhooks register` does it")
        return found


@asynccontextmanager
async def desk(*, makes_database: bool = False) -> AsyncIterator[Desk]:
    """The desk, with the upstream at hand. Raises SettingsError, Complaint."""
    given = settings.load()
    settings.demand_api_key(given)
    box, opened = vault.Vault(settings.signing_keys(given)), opening.made if makes_database else opening.existing
    upstream = client.Client(given.casedev_base_url, given.casedev_api_key.get_secret_value(), connections=1)
    try:
        async with opened(given) as store:
            encoding = given.webhook_key_encoding
            ticking = await opening.shared_clock(store)
            registrar = registration.Registrar(store, upstream.webhooks, box, encoding, ticking, _waits)
            yield Desk(given, store, registrar, ring(given, store, box))
    finally:
        await upstream.aclose()


def _waits() -> None:
    print("another command changes the webhook endpoint: waiting for it to end, a minute at most", file=sys.stderr)


def ring(given: settings.Settings, store: database.Database, box: vault.Vault) -> keyring.Keyring:
    """The secrets as a server with these settings has them; its `warnings` say what is wrong with events."""
    secrets = [secret.get_secret_value() for secret in given.webhook_secrets]
    return keyring.Keyring(store, box, secrets, given.webhook_key_encoding, backoff.Timing(), lambda _: None)


@contextmanager
def gone_is_told() -> Iterator[None]:
    """What the upstream no longer knows can be registered anew. Raises Complaint."""
    try:
        yield
    except errors.Answered as no:
        if no.status != 404:
            raise
        raise sentences.Complaint(
            "the upstream does not know the endpoint any more: `runledger webhooks register` makes another"
        ) from None


@dataclass(frozen=True, slots=True)
class Standing:
    """Both views of the endpoint. `shown` is None where the upstream shows none, or `trouble` says why not."""

    ours: stored.Endpoint | None
    shown: webhooks.Endpoint | None
    trouble: str | None
    secrets: Sequence[keyring.Held]
    last: deliveries.Stored | None
    warnings: Sequence[str]


async def standing(at: Desk, now: datetime) -> Standing:
    """Asks both sides."""
    ours = await at.store.read(stored.standing)
    shown, trouble = None, None
    if ours is not None and ours.upstream_id is not None:
        try:
            shown = await at.registrar.look(ours)
        except errors.UpstreamError as failure:
            trouble = str(failure)
    accepted = deliveries.Query(road=states.Road.PLATFORM, verdict=states.Verdict.ACCEPTED, limit=1)
    last, _ = await at.store.read(deliveries.page, accepted)
    warnings = await at.keyring.warnings(now)
    return Standing(ours, shown, trouble, at.keyring.in_force(now), last[0] if last else None, warnings)


def show(found: Standing, now: datetime) -> None:
    """Both views beside each other, and what is wrong."""
    ours, shown = found.ours, found.shown
    if ours is None:
        print("No webhook endpoint is registered: `runledger webhooks register` does it.")
    else:
        heads = [tables.Column("")] + [
            tables.Column(name, flexible=True, folds=True) for name in ("here", "upstream")
        ]
        tables.show(heads, _rows(ours, shown, found, now))
    for warning in found.warnings:
        print(f"! {warning}")


def _rows(
    ours: stored.Endpoint, shown: webhooks.Endpoint | None, found: Standing, now: datetime
) -> list[tuple[tables.Cell, ...]]:
    theirs = shown or webhooks.Endpoint("", status="not asked" if found.trouble else stored.GONE)
    looked = "" if ours.checked_at is None else f", seen {figures.age(ours.checked_at, now)}"
    return [
        ("endpoint", ours.upstream_id or "not known yet", theirs.id or figures.NONE),
        ("address", ours.url, figures.line(theirs.url)),
        ("state", (ours.status or figures.NONE) + looked, figures.line(theirs.status)),
        ("failures", figures.count(ours.failures), figures.count(theirs.failures)),
        ("events", webhooks.EVENTS, figures.line(" ".join(theirs.filters) or None)),
        ("secrets", spelled(found.secrets, now), _rotation(theirs, now)),
        ("last event", _came(found.last, now), figures.age(theirs.delivered_at, now)),
    ]


def _came(last: deliveries.Stored | None, now: datetime) -> str:
    if last is None:
        return figures.NONE
    return f"{figures.age(last.received_at, now)}, signed with {last.secret_used}"


def _rotation(shown: webhooks.Endpoint, now: datetime) -> str:
    if shown.rotated_at is None:
        return figures.NONE
    former = shown.previous_ends_at
    ends = f", former ends {figures.age(former, now)}" if former is not None and former > now else ""
    return f"rotated {figures.age(shown.rotated_at, now)}{ends}"


def spelled(held: Sequence[keyring.Held], now: datetime) -> str:
    """Secrets by their names, and until when they sign."""
    names = ["unusable" if each.secret is None else each.secret.name for each in held]
    ends = ["" if each.ends is None else _end(each.ends, now) for each in held]
    return ", ".join(map("".join, zip(names, ends, strict=True))) or "none"


def _end(at: datetime, now: datetime) -> str:
    return f" ({'ends' if at > now else 'ended'} {figures.age(at, now)})"


def as_json(found: Standing) -> dict[str, Any]:
    """The same for programs."""
    last = found.last
    return {
        "here": None if found.ours is None else row(found.ours),
        "upstream": None if found.shown is None else _shown(found.shown),
        "upstreamError": found.trouble,
        "secrets": secrets(found.secrets),
        "lastEvent": None if last is None else _event(last),
        "warnings": list(found.warnings),
    }


def secrets(held: Sequence[keyring.Held]) -> list[dict[str, Any]]:
    """Secrets by their names for programs; one that cannot be used has none."""
    return [
        {"name": None if each.secret is None else each.secret.name, "expiresAt": instant(each.ends)}
        for each in held
    ]


def _event(last: deliveries.Stored) -> dict[str, Any]:
    return {
        "deliveryId": last.id,
        "type": last.event_type,
        "receivedAt": instant(last.received_at),
        "secretUsed": last.secret_used,
    }


def row(ours: stored.Endpoint) -> dict[str, Any]:
    """Our view, in the API's manner."""
    return {
        "id": ours.id,
        "upstreamId": ours.upstream_id,
        "url": ours.url,
        "status": ours.status,
        "failures": ours.failures,
        "registeredAt": instant(ours.registered_at),
        "awaitingSince": instant(ours.awaiting_since),
        "checkedAt": instant(ours.checked_at),
        "checkError": ours.check_error,
    }


def _shown(shown: webhooks.Endpoint) -> dict[str, Any]:
    return {
        "id": shown.id,
        "url": shown.url,
        "status": shown.status,
        "eventTypeFilters": list(shown.filters),
        "failures": shown.failures,
        "secretRotatedAt": instant(shown.rotated_at),
        "previousSecretExpiresAt": instant(shown.previous_ends_at),
        "lastDeliveryAt": instant(shown.delivered_at),
    }


def instant(at: datetime | None) -> str | None:
    """An instant as the API spells it."""
    return None if at is None else columns.text(at)
