"""An endpoint for platform events is registered upstream, its secret changes, it goes.

`request` is committed before the upstream is asked for a secret: between its answer and our commit events may
come that are signed with what we do not hold yet, and must not be turned away for good.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from storage import columns, errors, house, jobs, ledger, states, webhooks

#: How long a secret that has ended is kept.
KEPT = timedelta(days=1)
#: How long one command may change our endpoint before another one takes over: longer than a call lasts at most.
LEASE = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Learned:
    """A secret that the upstream has told. `name` is what deliveries call it, None where it does not decode.

    `others_end` is when the upstream stops signing with what it used before; None where there was nothing. The
    fence of the request is that of the secret.
    """

    secret: webhooks.Secret
    upstream_id: str
    name: str | None
    status: str | None = None
    others_end: datetime | None = None


@dataclass(frozen=True, slots=True)
class Checked:
    """What the upstream shows of an endpoint, or why it was not told; a `status` of None leaves the last one."""

    status: str | None
    failures: int | None
    error: str | None = None


def request_secret(
    connection: Connection, endpoint_id: str, url: str, now: datetime, fence: int
) -> webhooks.Endpoint | None:
    """The upstream is about to be asked for an endpoint's secret; for a new one, for the endpoint as well.

    Answers the row as it was before, for `withdraw_request`. The lease of `fence` lasts anew from here on. Raises
    Fenced where another command has it by now.
    """
    if not house.renew_webhooks(connection, fence, now, LEASE):
        raise errors.Fenced("another command changes the webhook endpoint by now: run this one again")
    before = webhooks.hold(connection, endpoint_id)
    webhooks.put(connection, webhooks.Endpoint(endpoint_id, url, requested_at=now))
    changes = {"awaiting_since": now, "removed_at": None, "url": url, "fence": fence}
    webhooks.change(connection, endpoint_id, changes)
    return before


def withdraw_request(
    connection: Connection, endpoint_id: str, before: webhooks.Endpoint | None, now: datetime, fence: int
) -> None:
    """The upstream did nothing of it: all is as it was `before`. What was to be a new endpoint is none.

    Where a later request waits for its answer, it goes on waiting.
    """
    changes = {"awaiting_since": None, "removed_at": now}
    if before is not None:
        changes = {"awaiting_since": before.awaiting_since, "removed_at": before.removed_at}
    webhooks.change(connection, endpoint_id, changes, fence)


def learn_secret(connection: Connection, learned: Learned, now: datetime) -> None:
    """The endpoint has a new secret, its first or another; both stay live until the old one ends.

    From the first one on a job looks after the endpoint. Where this answers a request that others were made after,
    nobody knows in which order the upstream did them: it ends none of theirs, and stays live beside them.
    """
    endpoint_id = learned.secret.endpoint_id
    endpoint = webhooks.hold(connection, endpoint_id)
    assert endpoint is not None, "it was requested before"
    if not webhooks.keep(connection, learned.secret):
        return  # an earlier try of ours did all this
    webhooks.change(connection, endpoint_id, _registered(endpoint, learned, now))
    if learned.others_end is not None:
        webhooks.end(connection, endpoint_id, learned.others_end, before=learned.secret.fence)
    if endpoint.removed_at is not None:
        webhooks.end(connection, endpoint_id, now)  # removed meanwhile: nothing is signed with it any more
    webhooks.erase_ended(connection, now - KEPT)
    jobs.wish(connection, [jobs.Wish(states.Kind.CHECK, "", now)])
    is_first = endpoint.registered_at is None
    kind = ledger.Kind.WEBHOOK_REGISTERED if is_first else ledger.Kind.WEBHOOK_ROTATED
    facts: dict[str, ledger.Fact | None] = {
        "endpointId": learned.upstream_id,
        "url": endpoint.url,
        "secret": learned.name,
        "othersEnd": None if learned.others_end is None else columns.text(learned.others_end),
    }
    ledger.append(connection, [ledger.Entry(kind, now, None, "operator", facts)])


def _registered(endpoint: webhooks.Endpoint, learned: Learned, now: datetime) -> dict[str, object]:
    is_late = endpoint.fence != learned.secret.fence
    return {
        "upstream_id": learned.upstream_id,
        "registered_at": endpoint.registered_at or now,
        "awaiting_since": endpoint.awaiting_since if is_late else None,
        "status": learned.status or endpoint.status,
        "checked_at": now,
        "check_error": None,
    }


def move_endpoint(connection: Connection, endpoint_id: str, url: str) -> None:
    """The upstream now sends to another address of ours."""
    webhooks.change(connection, endpoint_id, {"url": url})


def check_endpoint(
    connection: Connection, endpoint_id: str, found: Checked, now: datetime
) -> webhooks.Endpoint | None:
    """Keeps what the upstream shows of an endpoint; answers the row as it was before."""
    before = webhooks.find(connection, endpoint_id)
    shown = {} if found.status is None else {"status": found.status, "failures": found.failures}
    webhooks.change(connection, endpoint_id, {**shown, "checked_at": now, "check_error": found.error})
    return before


def checked(
    connection: Connection, claim: jobs.Claim, endpoint_id: str, found: Checked, now: datetime, due_at: datetime
) -> webhooks.Endpoint | None:
    """The same for the job that looks after it, which comes due again. Raises Fenced."""
    jobs.hold(connection, claim)
    before = check_endpoint(connection, endpoint_id, found, now)
    jobs.again(connection, claim, due_at)
    return before


def remove_endpoint(connection: Connection, endpoint_id: str, now: datetime) -> None:
    """The upstream sends nothing more; what is on its way still verifies."""
    webhooks.change(connection, endpoint_id, {"removed_at": now, "awaiting_since": None})
    webhooks.end(connection, endpoint_id, now)
