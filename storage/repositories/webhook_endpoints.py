"""Statements about our endpoints for platform events upstream, and their signing secrets.

A secret is encrypted before it reaches this package: nothing in `storage` can decrypt it.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, and_, delete, or_, select
from sqlalchemy import update as sql_update

from storage.engine import dialect
from storage.engine.column_types import instant
from storage.tables import declare
from storage.tables.integrations import WEBHOOK_ENDPOINTS, WEBHOOK_SECRETS

#: The upstream's status of an endpoint that receives events, and ours of one that the upstream has lost.
ACTIVE, GONE = "active", "gone"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A row of `webhook_endpoints`; `awaiting_since` is set from the request for a secret until it is stored."""

    id: str
    url: str
    requested_at: datetime
    upstream_id: str | None = None
    awaiting_since: datetime | None = None
    registered_at: datetime | None = None
    removed_at: datetime | None = None
    status: str | None = None
    failures: int | None = None
    checked_at: datetime | None = None
    check_error: str | None = None
    fence: int = 0


@dataclass(frozen=True, slots=True)
class Secret:
    """A row of `webhook_secrets`; `expires_at` is when the upstream stops signing with it, None until it is known.

    `fence` is that of the request that the secret answers.
    """

    id: str
    endpoint_id: str
    sealed: bytes
    created_at: datetime
    expires_at: datetime | None = None
    fence: int = 0


@dataclass(frozen=True, slots=True)
class VerificationSet:
    """The active endpoints and the secrets that may have signed incoming events, each newest first."""

    endpoints: tuple[Endpoint, ...] = ()
    secrets: tuple[Secret, ...] = ()


def verification_set(connection: Connection, since: datetime) -> VerificationSet:
    """Return what verification needs: active endpoints, and secrets that did not expire before `since`."""
    endpoints = connection.execute(_ACTIVE.order_by(WEBHOOK_ENDPOINTS.c.id.desc()))
    live = or_(WEBHOOK_SECRETS.c.expires_at.is_(None), WEBHOOK_SECRETS.c.expires_at >= instant(since))
    secrets = connection.execute(_SECRETS.where(live).order_by(WEBHOOK_SECRETS.c.id.desc()))
    return VerificationSet(tuple(Endpoint(*row) for row in endpoints), tuple(Secret(*row) for row in secrets))


def find_active(connection: Connection) -> Endpoint | None:
    """Return the active endpoint, the newest of several."""
    return _find(connection, _ACTIVE.order_by(WEBHOOK_ENDPOINTS.c.id.desc()).limit(1))


def find(connection: Connection, endpoint_id: str) -> Endpoint | None:
    """Return the endpoint with this id of ours, active or removed."""
    return _find(connection, _ENDPOINTS.where(WEBHOOK_ENDPOINTS.c.id == endpoint_id))


def get_for_update(connection: Connection, endpoint_id: str) -> Endpoint | None:
    """Return the endpoint that `find` returns, and lock its row until the transaction ends."""
    return _find(connection, _ENDPOINTS.where(WEBHOOK_ENDPOINTS.c.id == endpoint_id).with_for_update())


def find_by_upstream_id(connection: Connection, upstream_id: str) -> Endpoint | None:
    """Return the endpoint with this id upstream, active or removed."""
    return _find(connection, _ENDPOINTS.where(WEBHOOK_ENDPOINTS.c.upstream_id == upstream_id))


def _find(connection: Connection, query: Select[Any]) -> Endpoint | None:
    row = connection.execute(query).first()
    return None if row is None else Endpoint(*row)


def secrets(connection: Connection, endpoint_id: str) -> list[Secret]:
    """Return all stored secrets of an endpoint, newest first."""
    own = _SECRETS.where(WEBHOOK_SECRETS.c.endpoint_id == endpoint_id)
    return [Secret(*row) for row in connection.execute(own.order_by(WEBHOOK_SECRETS.c.id.desc()))]


def insert(connection: Connection, endpoint: Endpoint) -> None:
    """Insert an endpoint unless its id exists."""
    new = dialect.insert(connection, WEBHOOK_ENDPOINTS).values(declare.row(WEBHOOK_ENDPOINTS, endpoint))
    connection.execute(new.on_conflict_do_nothing())


def update(connection: Connection, endpoint_id: str, changes: dict[str, Any], fence: int | None = None) -> bool:
    """Set columns of an endpoint; return whether it exists. With `fence`, only while no later request was made."""
    which = WEBHOOK_ENDPOINTS.c.id == endpoint_id
    if fence is not None:
        which = and_(which, WEBHOOK_ENDPOINTS.c.fence == fence)
    return connection.execute(sql_update(WEBHOOK_ENDPOINTS).where(which).values(changes)).rowcount > 0


def mark_all_awaiting(connection: Connection, now: datetime) -> bool:
    """Mark every active endpoint as awaiting a secret that may exist upstream; return whether there is one."""
    is_active = (WEBHOOK_ENDPOINTS.c.removed_at.is_(None), WEBHOOK_ENDPOINTS.c.registered_at.is_not(None))
    marked = sql_update(WEBHOOK_ENDPOINTS).where(*is_active).values(awaiting_since=now)
    return connection.execute(marked).rowcount > 0


def insert_secret(connection: Connection, secret: Secret) -> bool:
    """Insert a secret; return False where it exists already."""
    new = dialect.insert(connection, WEBHOOK_SECRETS).values(declare.row(WEBHOOK_SECRETS, secret))
    return connection.execute(new.on_conflict_do_nothing().returning(WEBHOOK_SECRETS.c.id)).first() is not None


def expire_secrets(connection: Connection, endpoint_id: str, at: datetime, before: int | None = None) -> None:
    """Let secrets of an endpoint expire at `at` or earlier: all, or those with a fence below `before`."""
    these = [WEBHOOK_SECRETS.c.endpoint_id == endpoint_id]
    if before is not None:
        these.append(WEBHOOK_SECRETS.c.fence < before)
    later = or_(WEBHOOK_SECRETS.c.expires_at.is_(None), WEBHOOK_SECRETS.c.expires_at > instant(at))
    connection.execute(sql_update(WEBHOOK_SECRETS).where(*these, later).values(expires_at=at))


def delete_expired_secrets(connection: Connection, before: datetime) -> None:
    """Delete secrets that expired before `before`."""
    connection.execute(delete(WEBHOOK_SECRETS).where(WEBHOOK_SECRETS.c.expires_at < instant(before)))


_ENDPOINTS = select(*(WEBHOOK_ENDPOINTS.c[each.name] for each in fields(Endpoint)))
_ACTIVE = _ENDPOINTS.where(WEBHOOK_ENDPOINTS.c.removed_at.is_(None))
_SECRETS = select(*(WEBHOOK_SECRETS.c[each.name] for each in fields(Secret)))
