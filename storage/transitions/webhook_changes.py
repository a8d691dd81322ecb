"""Changes of our webhook endpoint upstream: registration, rotation of its secret, removal.

A request is committed before the upstream is asked for a secret. Between its answer and our commit, events may
arrive that are signed with a secret we do not have yet; they must not be rejected for good.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from storage import errors, states
from storage.engine import column_types
from storage.ledger import entries
from storage.repositories import jobs, system_state, webhook_endpoints

#: How long an expired secret is kept.
KEPT = timedelta(days=1)
#: How long one command may change our endpoint before another one takes over: longer than any call lasts.
LEASE = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class NewSecret:
    """A secret that the upstream returned. `name` is its name in deliveries, None where it does not decode.

    `previous_expire_at` is when the upstream stops signing with the previous secrets; None where there were none.
    The secret's fence is that of the request.
    """

    secret: webhook_endpoints.Secret
    upstream_id: str
    name: str | None
    status: str | None = None
    previous_expire_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class EndpointCheck:
    """The upstream's view of an endpoint, or why the check failed; a `status` of None keeps the last one."""

    status: str | None
    failures: int | None
    error: str | None = None


def request_secret(
    connection: Connection, endpoint_id: str, url: str, now: datetime, fence: int
) -> webhook_endpoints.Endpoint | None:
    """Record that the upstream is about to be asked for a secret, and for a new endpoint as well.

    Return the row as it was before, for `withdraw_request`. The lease of `fence` is renewed. Raise LeaseLost
    where another command holds it.
    """
    if not system_state.renew_webhooks(connection, fence, now, LEASE):
        raise errors.LeaseLost("another command has taken over the webhook endpoint: run this command again")
    before = webhook_endpoints.get_for_update(connection, endpoint_id)
    webhook_endpoints.insert(connection, webhook_endpoints.Endpoint(endpoint_id, url, requested_at=now))
    changes = {"awaiting_since": now, "removed_at": None, "url": url, "fence": fence}
    webhook_endpoints.update(connection, endpoint_id, changes)
    return before


def withdraw_request(
    connection: Connection, endpoint_id: str, before: webhook_endpoints.Endpoint | None, now: datetime, fence: int
) -> None:
    """Undo a request that the upstream did not carry out; a new endpoint is marked as removed.

    A later request that waits for its answer keeps waiting.
    """
    changes = {"awaiting_since": None, "removed_at": now}
    if before is not None:
        changes = {"awaiting_since": before.awaiting_since, "removed_at": before.removed_at}
    webhook_endpoints.update(connection, endpoint_id, changes, fence)


def store_secret(connection: Connection, learned: NewSecret, now: datetime) -> None:
    """Store a new secret of the endpoint; the old and the new one are valid until the old one expires.

    The first one enqueues the job that checks the endpoint. Where other requests were made after this one, the
    order in which the upstream carried them out is unknown: this secret ends none of theirs, and is valid beside
    them.
    """
    endpoint_id = learned.secret.endpoint_id
    endpoint = webhook_endpoints.get_for_update(connection, endpoint_id)
    assert endpoint is not None, "it was requested before"
    if not webhook_endpoints.insert_secret(connection, learned.secret):
        return  # an earlier try of ours did all this
    webhook_endpoints.update(connection, endpoint_id, _registration(endpoint, learned, now))
    others_end = learned.previous_expire_at
    if others_end is not None:
        webhook_endpoints.expire_secrets(connection, endpoint_id, others_end, before=learned.secret.fence)
    if endpoint.removed_at is not None:  # removed meanwhile: the upstream signs nothing with it any more
        webhook_endpoints.expire_secrets(connection, endpoint_id, now)
    webhook_endpoints.delete_expired_secrets(connection, now - KEPT)
    jobs.enqueue(connection, [jobs.JobRequest(states.Kind.CHECK, "", now)])
    is_first = endpoint.registered_at is None
    kind = entries.Kind.WEBHOOK_REGISTERED if is_first else entries.Kind.WEBHOOK_ROTATED
    facts = {
        "endpointId": learned.upstream_id,
        "url": endpoint.url,
        "secret": learned.name,
        "othersEnd": None if others_end is None else column_types.instant_text(others_end),
    }
    entries.append(connection, [entries.Entry(kind, now, None, "operator", facts)])


def _registration(endpoint: webhook_endpoints.Endpoint, learned: NewSecret, now: datetime) -> dict[str, object]:
    is_late = endpoint.fence != learned.secret.fence
    return {
        "upstream_id": learned.upstream_id,
        "registered_at": endpoint.registered_at or now,
        "awaiting_since": endpoint.awaiting_since if is_late else None,
        "status": learned.status or endpoint.status,
        "checked_at": now,
        "check_error": None,
    }


def store_check(
    connection: Connection, endpoint_id: str, found: EndpointCheck, now: datetime
) -> webhook_endpoints.Endpoint | None:
    """Store the upstream's view of an endpoint; return the row as it was before."""
    before = webhook_endpoints.find(connection, endpoint_id)
    changes: dict[str, object] = {"checked_at": now, "check_error": found.error}
    if found.status is not None:
        changes |= {"status": found.status, "failures": found.failures}
    webhook_endpoints.update(connection, endpoint_id, changes)
    return before


def complete_check(
    connection: Connection,
    claim: jobs.Claim,
    endpoint_id: str,
    found: EndpointCheck,
    now: datetime,
    due_at: datetime,
) -> webhook_endpoints.Endpoint | None:
    """Store the view as `store_check` does, and reschedule the check job. Raise LeaseLost."""
    jobs.require_lease(connection, claim)
    before = store_check(connection, endpoint_id, found, now)
    jobs.reschedule(connection, claim, due_at)
    return before


def remove_endpoint(connection: Connection, endpoint_id: str, now: datetime) -> None:
    """Mark the endpoint as removed; events that are on their way still verify."""
    webhook_endpoints.update(connection, endpoint_id, {"removed_at": now, "awaiting_since": None})
    webhook_endpoints.expire_secrets(connection, endpoint_id, now)
