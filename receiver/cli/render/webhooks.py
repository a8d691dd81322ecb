"""The endpoint for platform events: our view of it and the upstream's, for people and for programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from typing import Any

from receiver.cli.render import format as render_format
from receiver.cli.render import json_lines, table
from receiver.inbound import webhook_secrets
from receiver.upstream import webhooks
from storage.repositories import deliveries, webhook_endpoints

_COLUMNS: tuple[table.Column[tuple[table.Cell, ...]], ...] = (
    table.Column("", itemgetter(0)),
    table.Column("here", itemgetter(1), flexible=True, folds=True),
    table.Column("upstream", itemgetter(2), flexible=True, folds=True),
)


@dataclass(frozen=True, slots=True)
class Views:
    """Both views. `theirs` is None where the upstream shows none; `error` says why it could not be asked."""

    ours: webhook_endpoints.Endpoint | None
    theirs: webhooks.Endpoint | None
    error: str | None
    secrets: Sequence[webhook_secrets.KnownSecret]
    last: deliveries.StoredDelivery | None
    warnings: Sequence[str]


def show(found: Views, now: datetime) -> None:
    """Print both views beside each other, and what is wrong."""
    if found.ours is None:
        print("No webhook endpoint is registered: `runledger webhooks register` does it.")
    else:
        table.show(_COLUMNS, _rows(found.ours, found, now))
    for warning in found.warnings:
        print(f"! {warning}")


def _rows(ours: webhook_endpoints.Endpoint, found: Views, now: datetime) -> list[tuple[table.Cell, ...]]:
    theirs = found.theirs or webhooks.Endpoint("", status="not asked" if found.error else webhook_endpoints.GONE)
    seen = "" if ours.checked_at is None else f", seen {render_format.age(ours.checked_at, now)}"
    last = render_format.NONE
    if found.last is not None:
        last = f"{render_format.age(found.last.received_at, now)}, signed with {found.last.secret_used}"
    return [
        ("endpoint", ours.upstream_id or "not known yet", theirs.id or None),
        ("address", ours.url, theirs.url),
        ("state", (ours.status or render_format.NONE) + seen, theirs.status),
        ("failures", render_format.count(ours.failures), render_format.count(theirs.failures)),
        ("events", webhooks.EVENTS, " ".join(theirs.filters) or None),
        ("secrets", secret_names(found.secrets, now), _rotation(theirs, now)),
        ("last event", last, render_format.age(theirs.delivered_at, now)),
    ]


def _rotation(theirs: webhooks.Endpoint, now: datetime) -> str:
    if theirs.rotated_at is None:
        return render_format.NONE
    former = theirs.previous_ends_at
    ends = f", former ends {render_format.age(former, now)}" if former is not None and former > now else ""
    return f"rotated {render_format.age(theirs.rotated_at, now)}{ends}"


def secret_names(secrets: Sequence[webhook_secrets.KnownSecret], now: datetime) -> str:
    """Return the names of secrets, and until when they sign."""
    names = ["unusable" if each.secret is None else each.secret.name for each in secrets]
    ends = [
        "" if at is None else f" ({'ends' if at > now else 'ended'} {render_format.age(at, now)})"
        for at in (each.ends_at for each in secrets)
    ]
    return ", ".join(map("".join, zip(names, ends, strict=True))) or "none"


def views(found: Views) -> dict[str, Any]:
    """Return both views as an object."""
    return {
        "here": None if found.ours is None else endpoint(found.ours),
        "upstream": None if found.theirs is None else _upstream_endpoint(found.theirs),
        "upstreamError": found.error,
        "secrets": secrets(found.secrets),
        "lastEvent": None if found.last is None else _event(found.last),
        "warnings": list(found.warnings),
    }


def secrets(given: Sequence[webhook_secrets.KnownSecret]) -> list[dict[str, Any]]:
    """Return secrets as objects, by their names; the name of an unusable one is null."""
    return [
        {"name": None if each.secret is None else each.secret.name, "expiresAt": each.ends_at} for each in given
    ]


def endpoint(ours: webhook_endpoints.Endpoint) -> dict[str, Any]:
    """Return our view as an object."""
    seen = ("registered_at", "awaiting_since", "checked_at", "check_error")
    return json_lines.fields(ours, "id", "upstream_id", "url", "status", "failures", *seen)


def _upstream_endpoint(theirs: webhooks.Endpoint) -> dict[str, Any]:
    return {
        "id": theirs.id,
        "url": theirs.url,
        "status": theirs.status,
        "eventTypeFilters": list(theirs.filters),
        "failures": theirs.failures,
        "secretRotatedAt": theirs.rotated_at,
        "previousSecretExpiresAt": theirs.previous_ends_at,
        "lastDeliveryAt": theirs.delivered_at,
    }


def _event(last: deliveries.StoredDelivery) -> dict[str, Any]:
    return {
        "deliveryId": last.id,
        "type": last.event_type,
        "receivedAt": last.received_at,
        "secretUsed": last.secret_used,
    }
