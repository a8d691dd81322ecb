"""Statements about the endpoints that are registered upstream for platform events, and their signing secrets.

A secret is sealed before it comes here: nothing in `storage` can open it.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, bindparam, delete, or_, select, update

from storage import dialect
from storage.columns import instant
from storage.tables import WEBHOOK_ENDPOINTS, WEBHOOK_SECRETS

#: What the upstream calls an endpoint that is sent events; and what we call one that it no longer knows.
ACTIVE, GONE = "active", "gone"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A row of `webhook_endpoints`; `awaiting_since` is set while a secret was asked for and is not stored yet."""

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
    """A row of `webhook_secrets`; `expires_at` is when the upstream stops signing with it, None as yet.

    `fence` is that of the request which it answers.
    """

    id: str
    endpoint_id: str
    sealed: bytes
    created_at: datetime
    expires_at: datetime | None = None
    fence: int = 0


@dataclass(frozen=True, slots=True)
class Known:
    """The endpoints that stand, newest first, and the secrets that may have signed what comes in, newest first."""

    endpoints: tuple[Endpoint, ...] = ()
    secrets: tuple[Secret, ...] = ()


def known(connection: Connection, since: datetime) -> Known:
    """What verification goes by: all that stands, and secrets that did not end before `since`."""
    endpoints = connection.execute(_STANDING.order_by(WEBHOOK_ENDPOINTS.c.id.desc()))
    live = or_(WEBHOOK_SECRETS.c.expires_at.is_(None), WEBHOOK_SECRETS.c.expires_at >= instant(since))
    secrets = connection.execute(_SECRETS.where(live).order_by(WEBHOOK_SECRETS.c.id.desc()))
    return Known(tuple(Endpoint(*row) for row in endpoints), tuple(Secret(*row) for row in secrets))


def standing(connection: Connection) -> Endpoint | None:
    """The endpoint that stands, the newest if there are several."""
    row = connection.execute(_STANDING.order_by(WEBHOOK_ENDPOINTS.c.id.desc()).limit(1)).first()
    return None if row is None else Endpoint(*row)


def find(connection: Connection, endpoint_id: str) -> Endpoint | None:
    """The endpoint of that id of ours, whether it stands or not."""
    row = connection.execute(_ENDPOINTS.where(WEBHOOK_ENDPOINTS.c.id == endpoint_id)).first()
    return None if row is None else Endpoint(*row)


def hold(connection: Connection, endpoint_id: str) -> Endpoint | None:
    """The same, locked until the transaction ends."""
    held = _ENDPOINTS.where(WEBHOOK_ENDPOINTS.c.id == endpoint_id).with_for_update()
    row = connection.execute(held).first()
    return None if row is None else Endpoint(*row)


def of_upstream(connection: Connection, upstream_id: str) -> Endpoint | None:
    """The endpoint of that id upstream, whether it stands or not."""
    row = connection.execute(_OF_UPSTREAM, {"upstream_id": upstream_id}).first()
    return None if row is None else Endpoint(*row)


def secrets(connection: Connection, endpoint_id: str) -> list[Secret]:
    """All secrets of an endpoint that are kept, newest first."""
    own = _SECRETS.where(WEBHOOK_SECRETS.c.endpoint_id == endpoint_id)
    return [Secret(*row) for row in connection.execute(own.order_by(WEBHOOK_SECRETS.c.id.desc()))]


def put(connection: Connection, endpoint: Endpoint) -> None:
    """A new endpoint, unless one of its id is there."""
    row = {each.name: getattr(endpoint, each.name) for each in fields(endpoint)}
    connection.execute(dialect.insert(connection, WEBHOOK_ENDPOINTS).values(row).on_conflict_do_nothing())


def change(connection: Connection, endpoint_id: str, changes: dict[str, Any], fence: int | None = None) -> bool:
    """Sets columns of an endpoint; whether there is one. With `fence` only while no later request was made."""
    which = WEBHOOK_ENDPOINTS.c.id == endpoint_id
    if fence is not None:
        which = and_(which, WEBHOOK_ENDPOINTS.c.fence == fence)
    return connection.execute(update(WEBHOOK_ENDPOINTS).where(which).values(changes)).rowcount > 0


def await_all(connection: Connection, now: datetime) -> bool:
    """Every endpoint that stands may have a secret by now that is not here; whether there is one."""
    stands = (WEBHOOK_ENDPOINTS.c.removed_at.is_(None), WEBHOOK_ENDPOINTS.c.registered_at.is_not(None))
    return connection.execute(update(WEBHOOK_ENDPOINTS).where(*stands).values(awaiting_since=now)).rowcount > 0


def keep(connection: Connection, secret: Secret) -> bool:
    """A new secret; False where it is there already."""
    row = {each.name: getattr(secret, each.name) for each in fields(secret)}
    kept = dialect.insert(connection, WEBHOOK_SECRETS).values(row).on_conflict_do_nothing()
    return connection.execute(kept.returning(WEBHOOK_SECRETS.c.id)).first() is not None


def end(connection: Connection, endpoint_id: str, at: datetime, before: int | None = None) -> None:
    """Let secrets of an endpoint end at `at`, where they have no earlier end: all, or those of fences `before`."""
    these = [WEBHOOK_SECRETS.c.endpoint_id == endpoint_id]
    if before is not None:
        these.append(WEBHOOK_SECRETS.c.fence < before)
    later = or_(WEBHOOK_SECRETS.c.expires_at.is_(None), WEBHOOK_SECRETS.c.expires_at > instant(at))
    connection.execute(update(WEBHOOK_SECRETS).where(*these, later).values(expires_at=at))


def erase_ended(connection: Connection, before: datetime) -> None:
    """Forgets secrets that ended before `before`."""
    connection.execute(delete(WEBHOOK_SECRETS).where(WEBHOOK_SECRETS.c.expires_at < instant(before)))


_ENDPOINTS = select(*(WEBHOOK_ENDPOINTS.c[each.name] for each in fields(Endpoint)))
_STANDING = _ENDPOINTS.where(WEBHOOK_ENDPOINTS.c.removed_at.is_(None))
_OF_UPSTREAM = _ENDPOINTS.where(WEBHOOK_ENDPOINTS.c.upstream_id == bindparam("upstream_id"))
_SECRETS = select(*(WEBHOOK_SECRETS.c[each.name] for each in fields(Secret)))
